// A topic of two broker groups, whose NameServer they share; a cluster of its own.
'use strict';

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const { mkdtemp, rm } = require('node:fs/promises');
const os = require('node:os');
const path = require('node:path');
const { after, before, test } = require('node:test');
const { promisify } = require('node:util');
const { ConsumeResult } = require('rocketmq-client-nodejs');
const s = require('./support');

let folder;
let groups;
let namesrv;
before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'raftmq-interop-groups-'));
  const started = await s.cluster('start', '--dir', folder, '--base-port', '0', '--groups', '2',
    '--members', '2', '--namesrv', '1');
  namesrv = started.namesrvs[0].address;
  groups = Object.values(started.groups).map(group => group.members.map(m => m.address));
});
after(async () => {
  await s.shutdownAll();
  await s.cluster('stop', '--dir', folder, '--delete');
  await rm(folder, { recursive: true, force: true });
});

const MQADMIN = process.env.RAFTMQ_BIN ? path.join(process.env.RAFTMQ_BIN, 'mqadmin')
  : path.resolve(__dirname, '../../../bazel-bin/client/mqadmin/mqadmin');

// mqadmin returns when the NameServer knows the topic at both groups.
async function createTopic(name) {
  const topic = s.unique(name);
  await promisify(execFile)(MQADMIN, ['updateTopic', '-t', topic, '-n', namesrv]);
  return topic;
}

test('whoever knows one broker of one group sends to and receives from both', async () => {
  const topic = await createTopic('shared');
  const producer = await s.startProducer(groups[0][1], topic);
  const sent = await s.sendMany(producer, topic, 40, 'm');
  assert.deepEqual(sent.failures, []);
  const consumer = await s.startSimpleConsumer(groups[1][0], topic, s.unique('group'));
  const got = await s.receiveUntil(consumer, seen => seen.size === 40, 60000);
  assert.deepEqual(s.missing(sent.bodies, got.bodies), []);
  assert.deepEqual(got.ackFailures, []);
  for (const addresses of groups) {
    const there = got.messages.filter(m => addresses.includes(m.endpoints.facade));
    assert.ok(there.length > 0, `no message came from ${addresses}`);
  }
});

test('a push consumer gets the messages of both groups', async () => {
  const topic = await createTopic('pushed');
  const bodies = new Set();
  await s.startPushConsumer(groups[0][0], topic, s.unique('group'), async message => {
    bodies.add(message.body.toString());
    return ConsumeResult.SUCCESS;
  });
  const producer = await s.startProducer(groups[1][1], topic);
  const sent = await s.sendMany(producer, topic, 40, 'p');
  await s.waitUntil(() => bodies.size === sent.bodies.length, 60000, 'all to be pushed');
});

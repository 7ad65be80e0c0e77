'use strict';

const assert = require('node:assert/strict');
const { after, beforeEach, test } = require('node:test');
const s = require('./support');

// All members run when a scenario begins, whatever the one before did, and clients start with each: gRPC
// remembers in this process that an address did not answer, and a client that starts tries at once and
// three times only.
let anyTopic;
beforeEach(async () => {
  anyTopic ??= await s.createTopic('healed');
  for (const { role, id, address } of await s.members()) {
    if (role !== 'DOWN') continue;
    await s.cluster('restart', id);
    await s.waitUntil(() => s.startProducer(address, anyTopic).then(() => true, () => false), 30000,
      `a client to start with ${id}`);
  }
});
after(s.shutdownAll);

// The client's only address is the leader's, or a follower's: it must survive both.
for (const where of ['leader', 'follower']) {
  test(`the leader is killed while a client sends through the ${where}`, async t => {
    const topic = await s.createTopic('kill-send');
    const [leader, follower] = await s.members();
    const endpoints = (where === 'leader' ? leader : follower).address;
    const producer = await s.startProducer(endpoints, topic);
    const sent = await s.sendMany(producer, topic, 200, 'm', async i => {
      if (i === 50) await s.cluster('kill', leader.id);
    });
    t.diagnostic(`${sent.failures.length} sends failed, the longest took ${sent.longestMs} ms`);
    const survivor = follower.address;
    const consumer = await s.startSimpleConsumer(survivor, topic, s.unique('group'));
    const got = await s.receiveUntil(consumer, seen => seen.size === 200, 60000);
    assert.deepEqual(s.missing(sent.bodies, got.bodies), []);
    assert.deepEqual(s.foreign(sent.bodies, got.bodies), []);
    assert.ok(sent.longestMs < 10000, `one send took ${sent.longestMs} ms`);
  });

  test(`the leader is killed while a client consumes through the ${where}`, async t => {
    const topic = await s.createTopic('kill-consume');
    const [leader, follower] = await s.members();
    const endpoints = (where === 'leader' ? leader : follower).address;
    const producer = await s.startProducer(follower.address, topic);
    const consumer = await s.startSimpleConsumer(endpoints, topic, s.unique('group'));
    let killed;
    const sending = s.sendMany(producer, topic, 300, 'm', async i => {
      if (i === 100) await (killed = s.cluster('kill', leader.id));
    });
    const got = await s.receiveUntil(consumer, seen => seen.size === 300, 90000);
    const sent = await sending;
    await killed;
    t.diagnostic(`${got.failures.length} receives and ${got.ackFailures.length} acks failed, ` +
      `${got.messages.length - got.bodies.size} redelivered`);
    assert.deepEqual(s.missing(sent.bodies, got.bodies), []);
    assert.deepEqual(s.foreign(sent.bodies, got.bodies), []);
  });
}

test('the leader is killed while a push consumer works', async t => {
  const { ConsumeResult } = require('rocketmq-client-nodejs');
  const topic = await s.createTopic('kill-push');
  const [leader, follower] = await s.members();
  const seen = new Map();
  await s.startPushConsumer(follower.address, topic, s.unique('group'), async message => {
    const body = message.body.toString();
    seen.set(body, (seen.get(body) ?? 0) + 1);
    return ConsumeResult.SUCCESS;
  });
  const producer = await s.startProducer(follower.address, topic);
  const sent = await s.sendMany(producer, topic, 300, 'm', async i => {
    if (i !== 100) return;
    await s.waitUntil(() => seen.size > 0, 30000, 'a first message');
    await s.cluster('kill', leader.id);
  });
  await s.waitUntil(() => seen.size >= 300, 90000, `300 messages; seen ${seen.size}`);
  t.diagnostic(`${[...seen.values()].reduce((a, b) => a + b, 0) - seen.size} redelivered`);
  assert.deepEqual(s.missing(sent.bodies, seen), []);
  assert.deepEqual(s.foreign(sent.bodies, seen), []);
});

test('the leader is killed while an orderly consumer works', async t => {
  const { ConsumeResult } = require('rocketmq-client-nodejs');
  const topic = await s.createTopic('kill-fifo', 'FIFO');
  const group = await s.createGroup({ retries: 16, orderly: true });
  const [leader, follower] = await s.members();
  const seen = new Map();
  await s.startPushConsumer(follower.address, topic, group, async message => {
    const body = message.body.toString();
    seen.set(body, (seen.get(body) ?? 0) + 1);
    return ConsumeResult.SUCCESS;
  });
  const messageGroup = await s.messageGroupAvoiding(leader.address, follower.address);
  const producer = await s.startProducer(follower.address, topic);
  const bodies = await s.sendInOrder(producer, topic, 150, async i => {
    if (i !== 50) return;
    await s.waitUntil(() => seen.size > 0, 30000, 'a first message');
    await s.cluster('kill', leader.id);
  }, messageGroup);
  await s.waitUntil(() => seen.size >= 150, 90000, '150 messages');
  t.diagnostic(`${[...seen.values()].reduce((a, b) => a + b, 0) - 150} redelivered`);
  assert.deepEqual([...seen.keys()], bodies);
});

test('open transactions and delayed messages survive a killed leader', async () => {
  const transactions = await s.createTopic('kill-half', 'TRANSACTION');
  const delays = await s.createTopic('kill-delay', 'DELAY');
  const [leader, { address }] = await s.members();
  // The protocol's COMMIT and ROLLBACK.
  const checker = { async check(message) { return message.body.toString() === 'yes' ? 1 : 2; } };
  const producer = await s.startProducer(address, transactions, { checker });
  const timer = await s.startProducer(address, delays);
  const ended = await s.startSimpleConsumer(address, transactions, s.unique('group'));
  const later = await s.startSimpleConsumer(address, delays, s.unique('group'));
  // This client does not try a half message again at another address, and one member was just restarted.
  const half = body => s.waitUntil(() => {
    const transaction = producer.beginTransaction();
    return producer.send({ topic: transactions, body: Buffer.from(body) }, transaction)
      .then(() => transaction, () => undefined);
  }, 30000, `the half message ${body} to be sent`);
  const dropped = await half('no');
  const kept = await half('yes');
  const due = Date.now() + 6000;
  const deliveryTimestamp = new Date(due);
  const recalled = await timer.send({ topic: delays, body: Buffer.from('recalled'), deliveryTimestamp });
  await timer.send({ topic: delays, body: Buffer.from('later'), deliveryTimestamp });
  await s.cluster('kill', leader.id);
  const succeeds = call => s.waitUntil(() => call().then(() => true, () => false), 20000, `${call}`);
  // This client ends a transaction only through the member that took its half message. If that is the
  // killed one, the broker asks.
  await kept.commit().catch(() => {});
  await dropped.rollback().catch(() => {});
  await succeeds(() => timer.recallMessage(delays, recalled.recallHandle));
  const committed = await s.receiveUntil(ended, seen => seen.size > 0, 60000);
  assert.deepEqual([...committed.bodies.keys()], ['yes']);
  const delayed = await s.receiveUntil(later, seen => seen.size > 0, 20000);
  assert.deepEqual([...delayed.bodies.keys()], ['later']);
  assert.ok(Date.now() >= due - 50, 'it came early');
  for (const consumer of [ended, later]) {
    const { bodies } = await s.receiveUntil(consumer, seen => seen.size > 0, 3000);
    assert.deepEqual([...bodies.keys()], []);
  }
});

test('every member is restarted while a client sends and consumes', async t => {
  const topic = await s.createTopic('rolling');
  const all = await s.members();
  const producer = await s.startProducer(all[1].address, topic);
  const consumer = await s.startSimpleConsumer(all[1].address, topic, s.unique('group'));
  let restarted = false;
  const restarting = (async () => {
    for (const member of all) await s.cluster('restart', member.id);
    restarted = true;
  })();
  const outcomes = [];
  const sending = (async () => {
    while (!restarted) outcomes.push(await s.sendMany(producer, topic, 20, `m-${outcomes.length}`));
  })();
  const sentAll = () => restarted && outcomes.flatMap(o => o.bodies);
  const got = await s.receiveUntil(consumer, seen => {
    const bodies = sentAll();
    return bodies && bodies.every(body => seen.has(body));
  }, 120000);
  await Promise.all([restarting, sending]);
  const bodies = sentAll();
  const rest = await s.receiveUntil(consumer,
    seen => bodies.every(body => seen.has(body) || got.bodies.has(body)), 30000);
  const seen = new Map([...got.bodies, ...rest.bodies]);
  t.diagnostic(`${bodies.length} sent, ${outcomes.flatMap(o => o.failures).length} sends and ` +
    `${got.failures.length} receives failed, the longest send took ` +
    `${Math.max(...outcomes.map(o => o.longestMs))} ms`);
  assert.deepEqual(s.missing(bodies, seen), []);
  assert.deepEqual(s.foreign(bodies, seen), []);
});

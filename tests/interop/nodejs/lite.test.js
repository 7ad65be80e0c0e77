// Lite topics: tiny topics under one of type LITE, to which consumers subscribe by name.
'use strict';

const assert = require('node:assert/strict');
const { after, afterEach, beforeEach, test } = require('node:test');
const { ConsumeResult, LitePushConsumerBuilder } = require('rocketmq-client-nodejs');
const s = require('./support');

let endpoints;
beforeEach(async () => {
  for (const member of await s.members()) {
    if (member.role === 'DOWN') await s.cluster('restart', member.id);
  }
  endpoints = (await s.status()).access_point;
});
const consumers = [];
afterEach(async () => {
  await Promise.allSettled(consumers.splice(0).map(consumer => consumer.close()));
});
after(s.shutdownAll);

// Counts deliveries by body; fails the first one of those in `failOnce`.
function listener(failOnce = []) {
  const attempts = new Map();
  const consume = async message => {
    const body = message.body.toString();
    const seen = attempts.get(body) ?? [];
    attempts.set(body, seen.concat(message.deliveryAttempt));
    return failOnce.includes(body) && seen.length === 0 ? ConsumeResult.FAILURE : ConsumeResult.SUCCESS;
  };
  return { attempts, consume };
}

async function litePushConsumer(where, topic, group, consume, liteTopics) {
  const quiet = { info() {}, warn() {}, error() {}, debug() {} };
  const consumer = await new LitePushConsumerBuilder()
    .setClientConfiguration({
      endpoints: where, namespace: '', logger: process.env.RAFTMQ_TRACE ? console : quiet,
    })
    .bindTopic(topic).setConsumerGroup(group).setMessageListener({ consume }).build();
  consumers.push(s.keepErrorListeners(consumer));
  for (const name of liteTopics) await consumer.subscribeLite(name);
  return consumer;
}

// To the lite topic that a body begins with: "chat-a/1" to "chat-a". As an application would, again
// after a failure.
async function sendLite(producer, topic, bodies) {
  for (const body of bodies) {
    await s.waitUntil(async () => {
      try {
        await producer.send({ topic, body: Buffer.from(body), liteTopic: body.split('/')[0] });
        return true;
      } catch {
        return false;
      }
    }, 30000, `${body} to be sent`);
  }
}

const numbered = (name, count) => Array.from({ length: count }, (_, i) => `${name}/${i}`);

test('a lite push consumer gets what it subscribed to and a failed message again', async () => {
  const topic = await s.createTopic('lite', 'LITE');
  const producer = await s.startProducer(endpoints, topic);
  const { attempts, consume } = listener(['chat-a/1']);
  const group = await s.createGroup({ retries: 5 });
  const consumer = await litePushConsumer(endpoints, topic, group, consume, ['chat-a', 'chat-b']);
  for (const name of ['chat-a', 'chat-b', 'chat-c']) await sendLite(producer, topic, numbered(name, 3));
  await s.waitUntil(() => attempts.size === 6, 30000, 'its messages');
  await s.waitUntil(() => attempts.get('chat-a/1').length === 2, 30000, 'the failed one again');
  assert.equal(attempts.has('chat-c/0'), false);
  await consumer.subscribeLite('chat-c');
  await s.waitUntil(() => attempts.size === 9, 30000, 'those of the third lite topic');
  await consumer.unsubscribeLite('chat-a');
  await sendLite(producer, topic, ['chat-a/late', 'chat-b/late']);
  await s.waitUntil(() => attempts.has('chat-b/late'), 30000, 'what it is still subscribed to');
  assert.equal(attempts.has('chat-a/late'), false);
});

test('the leader is killed while lite consumers work', async () => {
  const topic = await s.createTopic('lite-kill', 'LITE');
  const [leader, follower] = await s.members();
  const producer = await s.startProducer(follower.address, topic);
  const { attempts, consume } = listener();
  const names = ['chat-0', 'chat-1', 'chat-2'];
  await litePushConsumer(follower.address, topic, await s.createGroup({ retries: 5 }), consume, names);
  const bodies = [];
  for (const name of names) {
    if (name === 'chat-1') await s.cluster('kill', leader.id);
    await sendLite(producer, topic, numbered(name, 40));
    bodies.push(...numbered(name, 40));
  }
  await s.waitUntil(() => attempts.size >= bodies.length, 60000, 'all to be pushed');
  assert.deepEqual(s.missing(bodies, attempts), []);
  assert.deepEqual(s.foreign(bodies, attempts), []);
});

'use strict';

const assert = require('node:assert/strict');
const { after, before, test } = require('node:test');
const { ConsumeResult } = require('rocketmq-client-nodejs');
const s = require('./support');

let endpoints;
before(async () => { endpoints = (await s.status()).access_point; });
after(s.shutdownAll);

test('a producer starts and stops', async () => {
  const topic = await s.createTopic('start');
  const producer = await s.startProducer(endpoints, topic);
  assert.equal(producer.isRunning(), true);
  await producer.shutdown();
  assert.equal(producer.isRunning(), false);
});

test('a simple consumer starts and stops', async () => {
  const topic = await s.createTopic('start');
  const consumer = await s.startSimpleConsumer(endpoints, topic, s.unique('group'));
  await consumer.shutdown();
  assert.equal(consumer.isRunning(), false);
});

test('a send is answered with a message id', async () => {
  const topic = await s.createTopic('send');
  const producer = await s.startProducer(endpoints, topic);
  const first = await producer.send({ topic, body: Buffer.from('one') });
  const second = await producer.send({ topic, body: Buffer.from('two') });
  assert.match(first.messageId, /^01[0-9A-F]{32}$/);
  assert.notEqual(first.messageId, second.messageId);
});

test('a message arrives with all that was sent with it', async () => {
  const topic = await s.createTopic('fields');
  const producer = await s.startProducer(endpoints, topic);
  const consumer = await s.startSimpleConsumer(endpoints, topic, s.unique('group'));
  const body = Buffer.from('päyload \u{1F680}');
  const receipt = await producer.send({
    topic, body, tag: 'blue', keys: ['key-1', 'key-2'],
    properties: new Map([['colour', 'blue'], ['empty?', 'no']]),
  });
  const { messages } = await s.receiveUntil(consumer, seen => seen.size === 1, 20000);
  assert.equal(messages.length, 1);
  const [message] = messages;
  assert.equal(message.messageId, receipt.messageId);
  assert.deepEqual(message.body, body);
  assert.equal(message.topic, topic);
  assert.equal(message.tag, 'blue');
  assert.deepEqual(message.keys, ['key-1', 'key-2']);
  assert.equal(message.properties.get('colour'), 'blue');
  assert.equal(message.deliveryAttempt, 1);
  assert.ok(!message.corrupted);
  assert.ok(Math.abs(Date.now() - message.bornTimestamp.getTime()) < 60000);
});

test('an acked message never comes again, an unacked one does', async () => {
  const topic = await s.createTopic('ack');
  const producer = await s.startProducer(endpoints, topic);
  const consumer = await s.startSimpleConsumer(endpoints, topic, s.unique('group'));
  const { bodies } = await s.sendMany(producer, topic, 20, 'm');
  const first = await s.receiveUntil(consumer, seen => seen.size === 20, 20000, { ack: false });
  assert.deepEqual(s.missing(bodies, first.bodies), []);
  const kept = first.messages[7];
  for (const message of first.messages) if (message !== kept) await consumer.ack(message);

  // Its lease of 10 s ends; the others' would have ended too, had the acks been lost.
  const again = await s.receiveUntil(consumer, seen => seen.size > 0, 25000);
  assert.deepEqual([...again.bodies.keys()], [kept.body.toString()]);
  assert.equal(again.messages[0].deliveryAttempt, 2);
  const never = await s.receiveUntil(consumer, () => false, 5000);
  assert.deepEqual([...never.bodies.keys()], []);
});

test('a prolonged invisibility keeps a message away, a shortened one brings it back', async () => {
  const topic = await s.createTopic('invisible');
  const producer = await s.startProducer(endpoints, topic);
  const consumer = await s.startSimpleConsumer(endpoints, topic, s.unique('group'));
  await producer.send({ topic, body: Buffer.from('m') });
  const first = await s.receiveUntil(consumer, seen => seen.size === 1, 20000,
    { invisibleMs: 60000, ack: false });
  const began = Date.now();
  await consumer.changeInvisibleDuration(first.messages[0], 1000);
  const again = await s.receiveUntil(consumer, seen => seen.size === 1, 20000);
  assert.equal(again.messages[0].deliveryAttempt, 2);
  assert.ok(Date.now() - began < 15000, 'it came back long before its first lease of 60 s ended');
});

test('two consumers of a group share the messages, another group gets all', async () => {
  const topic = await s.createTopic('groups');
  const producer = await s.startProducer(endpoints, topic);
  const group = s.unique('group');
  const one = await s.startSimpleConsumer(endpoints, topic, group);
  const two = await s.startSimpleConsumer(endpoints, topic, group);
  const other = await s.startSimpleConsumer(endpoints, topic, s.unique('group'));
  const { bodies } = await s.sendMany(producer, topic, 60, 'm');
  const seen = new Set();
  const done = batch => { for (const body of batch.keys()) seen.add(body); return seen.size === 60; };
  const [a, b] = await Promise.all([s.receiveUntil(one, done, 30000), s.receiveUntil(two, done, 30000)]);
  assert.deepEqual(s.missing(bodies, seen), []);
  assert.equal(a.messages.length + b.messages.length, 60, 'nothing was delivered twice');
  const all = await s.receiveUntil(other, batch => batch.size === 60, 30000);
  assert.deepEqual(s.missing(bodies, all.bodies), []);
});

test('a push consumer gets every message, and a failed one again', async () => {
  const topic = await s.createTopic('push');
  const producer = await s.startProducer(endpoints, topic);
  const seen = new Map();
  await s.startPushConsumer(endpoints, topic, s.unique('group'), async message => {
    const body = message.body.toString();
    seen.set(body, [...(seen.get(body) ?? []), message.deliveryAttempt]);
    return body === 'm-3' && seen.get(body).length === 1 ? ConsumeResult.FAILURE : ConsumeResult.SUCCESS;
  });
  const { bodies } = await s.sendMany(producer, topic, 40, 'm');
  await s.waitUntil(() => seen.size === 40 && seen.get('m-3').length === 2, 40000,
    `40 messages and one retry; seen ${seen.size}`);
  assert.deepEqual(s.missing(bodies, seen), []);
  assert.deepEqual(seen.get('m-3'), [1, 2]);
});

// Counts attempts by body; always fails the given ones.
function failing(bodies) {
  const attempts = new Map();
  const consume = async message => {
    const body = message.body.toString();
    attempts.set(body, [...(attempts.get(body) ?? []), message.deliveryAttempt]);
    return bodies.includes(body) ? ConsumeResult.FAILURE : ConsumeResult.SUCCESS;
  };
  return { attempts, consume };
}

test('a message that always fails is dead-lettered after its last attempt', async () => {
  const topic = await s.createTopic('dlq');
  const group = await s.createGroup({ retries: 2 });
  const producer = await s.startProducer(endpoints, topic);
  const { attempts, consume } = failing(['m-1']);
  await s.startPushConsumer(endpoints, topic, group, consume);
  const { bodies } = await s.sendMany(producer, topic, 5, 'm');
  const dead = await s.deadLetters(endpoints, group, 1);
  assert.deepEqual(dead.map(m => m.body.toString()), ['m-1']);
  assert.equal(dead[0].deliveryAttempt, 1);
  assert.deepEqual(attempts.get('m-1'), [1, 2, 3]);
  assert.deepEqual(s.missing(bodies, attempts), []);
});

test('an orderly consumer dead-letters a message and goes on with the next', async () => {
  const topic = await s.createTopic('dlq-fifo', 'FIFO');
  const group = await s.createGroup({ retries: 2, orderly: true });
  const producer = await s.startProducer(endpoints, topic);
  const { attempts, consume } = failing(['m-1']);
  await s.startPushConsumer(endpoints, topic, group, consume);
  for (let i = 0; i < 4; i++) {
    await producer.send({ topic, body: Buffer.from(`m-${i}`), messageGroup: 'x' });
  }
  await s.waitUntil(() => attempts.has('m-3'), 40000, 'the last message');
  const dead = await s.deadLetters(endpoints, group, 1);
  assert.deepEqual(dead.map(m => m.body.toString()), ['m-1']);
  assert.deepEqual([...attempts.keys()], ['m-0', 'm-1', 'm-2', 'm-3']);
  assert.equal(attempts.get('m-1').length, 3);
});

test('messages of one group arrive in order', async () => {
  const topic = await s.createTopic('fifo', 'FIFO');
  const producer = await s.startProducer(endpoints, topic);
  const consumer = await s.startSimpleConsumer(endpoints, topic, s.unique('group'));
  for (let i = 0; i < 15; i++) {
    for (const messageGroup of ['x', 'y']) {
      await producer.send({ topic, body: Buffer.from(`${messageGroup}-${i}`), messageGroup });
    }
  }
  const { messages } = await s.receiveUntil(consumer, seen => seen.size === 30, 30000);
  for (const messageGroup of ['x', 'y']) {
    assert.deepEqual(
      messages.filter(m => m.messageGroup === messageGroup).map(m => m.body.toString()),
      Array.from({ length: 15 }, (_, i) => `${messageGroup}-${i}`));
  }
});

test('a delayed message comes when it is due, not before', async () => {
  const topic = await s.createTopic('delay', 'DELAY');
  const producer = await s.startProducer(endpoints, topic);
  const consumer = await s.startSimpleConsumer(endpoints, topic, s.unique('group'));
  const due = Date.now() + 4000;
  await producer.send({ topic, body: Buffer.from('later'), deliveryTimestamp: new Date(due) });
  const { messages } = await s.receiveUntil(consumer, seen => seen.size === 1, 20000);
  assert.equal(messages.length, 1);
  const late = Date.now() - due;
  assert.ok(late >= -50 && late < 3000, `delivered ${late} ms after it was due`);
});

// The protocol's TransactionResolution, which the package does not export.
const COMMIT = 1, ROLLBACK = 2;

test('a delayed message that is recalled never comes', async () => {
  const topic = await s.createTopic('recall', 'DELAY');
  const producer = await s.startProducer(endpoints, topic);
  const consumer = await s.startSimpleConsumer(endpoints, topic, s.unique('group'));
  const deliveryTimestamp = new Date(Date.now() + 3000);
  const recalled = await producer.send({ topic, body: Buffer.from('no'), deliveryTimestamp });
  await producer.send({ topic, body: Buffer.from('yes'), deliveryTimestamp });
  const receipt = await producer.recallMessage(topic, recalled.recallHandle);
  assert.equal(receipt.messageId, recalled.messageId);
  const { bodies } = await s.receiveUntil(consumer, seen => seen.size > 1, 8000);
  assert.deepEqual([...bodies.keys()], ['yes']);
  await assert.rejects(producer.recallMessage(topic, recalled.recallHandle));
});

test('an orphaned transaction is ended as its producer says when it is asked', async () => {
  const topic = await s.createTopic('orphan', 'TRANSACTION');
  const asked = [];
  const producer = await s.startProducer(endpoints, topic, {
    checker: {
      async check(message) {
        asked.push(message.body.toString());
        return asked.at(-1) === 'yes' ? COMMIT : ROLLBACK;
      },
    },
  });
  const consumer = await s.startSimpleConsumer(endpoints, topic, s.unique('group'));
  for (const body of ['yes', 'no']) {
    await producer.send({ topic, body: Buffer.from(body) }, producer.beginTransaction());
  }
  const { bodies } = await s.receiveUntil(consumer, seen => seen.size === 1, 20000);
  assert.deepEqual([...bodies.keys()], ['yes']);
  await s.waitUntil(() => asked.length === 2, 10000);
  assert.deepEqual(asked.sort(), ['no', 'yes']);
});

test('a transaction is seen after its commit, never after its rollback', async () => {
  const topic = await s.createTopic('transaction', 'TRANSACTION');
  const producer = await s.startProducer(endpoints, topic, {
    checker: { async check() { return ROLLBACK; } },
  });
  const consumer = await s.startSimpleConsumer(endpoints, topic, s.unique('group'));
  const rolledBack = producer.beginTransaction();
  await producer.send({ topic, body: Buffer.from('no') }, rolledBack);
  const committed = producer.beginTransaction();
  await producer.send({ topic, body: Buffer.from('yes') }, committed);
  const early = await s.receiveUntil(consumer, seen => seen.size > 0, 2000);
  assert.deepEqual([...early.bodies.keys()], []);
  await rolledBack.rollback();
  await committed.commit();
  const { bodies } = await s.receiveUntil(consumer, seen => seen.size === 1, 15000);
  assert.deepEqual([...bodies.keys()], ['yes']);
  const late = await s.receiveUntil(consumer, seen => seen.size > 0, 4000);
  assert.deepEqual([...late.bodies.keys()], []);
});

test('an unknown topic is refused at start', async () => {
  await assert.rejects(s.startProducer(endpoints, s.unique('nowhere')),
    error => /NotFound|40402|Failed to fetch topic routes/.test(`${error} ${error.cause?.cause ?? ''}`));
});

test('a message of the wrong type is refused', async () => {
  const topic = await s.createTopic('type');
  const producer = await s.startProducer(endpoints, topic);
  await assert.rejects(producer.send({ topic, body: Buffer.from('m'), messageGroup: 'x' }),
    /message type not match/);
});

test('a body above 4 MiB is refused, one of exactly 4 MiB is taken', async () => {
  const topic = await s.createTopic('size');
  const producer = await s.startProducer(endpoints, topic, { requestTimeout: 10000 });
  await assert.rejects(producer.send({ topic, body: Buffer.alloc(4 * 1024 * 1024 + 1, 'x') }),
    /max/i);
  const receipt = await producer.send({ topic, body: Buffer.alloc(4 * 1024 * 1024, 'x') });
  assert.ok(receipt.messageId);
});

'use strict';

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const { ConsumeResult, FilterExpression } = require('rocketmq-client-nodejs');
const s = require('./support');

let endpoints;
before(async () => { endpoints = (await s.status()).access_point; });
after(s.shutdownAll);

const scenarios = [];
const scenario = (name, run) => scenarios.push([name, run]);

// What a killed consumer held comes again, to `other(topic, group, bodies)`, which returns the delivery
// attempts by body; what nobody held comes once too.
async function takenOver(t, kind, other) {
  const topic = await s.createTopic('takeover');
  const group = s.unique('group');
  const producer = await s.startProducer(endpoints, topic);
  const { bodies: held } = await s.sendMany(producer, topic, 10, 'm');
  const byTheKilled = await s.holdUntilKilled(kind, endpoints, topic, group, 10);
  assert.deepEqual(byTheKilled.sort(), [...held].sort());
  const began = Date.now();
  const { bodies: late } = await s.sendMany(producer, topic, 5, 'late');
  const attempts = await other(topic, group, held.concat(late));
  assert.deepEqual(held.map(body => attempts.get(body)), held.map(() => [2]));
  // Mostly their first; their second if a receive of the killed one still stood in line for them.
  assert.deepEqual(late.map(body => attempts.get(body).length), late.map(() => 1));
  t.diagnostic(`after ${Math.round((Date.now() - began) / 1000)} s`);
}

scenario('messages of a killed push consumer are taken over', t =>
  takenOver(t, 'push', async (topic, group, bodies) => {
    const { attempts, consume } = listener();
    await s.startPushConsumer(endpoints, topic, group, consume);
    await s.waitUntil(() => attempts.size === bodies.length, 90000, `${bodies.length} messages`);
    return attempts;
  }));

scenario('messages of a killed simple consumer are taken over', t =>
  takenOver(t, 'simple', async (topic, group, bodies) => {
    const consumer = await s.startSimpleConsumer(endpoints, topic, group);
    const { messages } = await s.receiveUntil(consumer, seen => seen.size === bodies.length, 40000);
    const attempts = new Map(messages.map(m => [m.body.toString(), []]));
    for (const m of messages) attempts.get(m.body.toString()).push(m.deliveryAttempt);
    return attempts;
  }));

scenario('messages of a killed orderly consumer are taken over in order', async t => {
  const topic = await s.createTopic('takeover-fifo', 'FIFO');
  const group = await s.createGroup({ retries: 16, orderly: true });
  const bodies = await s.sendInOrder(await s.startProducer(endpoints, topic), topic, 6);
  assert.deepEqual(await s.holdUntilKilled('push', endpoints, topic, group, 1), ['m-0']);
  const began = Date.now();
  const { attempts, consume } = listener();
  await s.startPushConsumer(endpoints, topic, group, consume);
  await s.waitUntil(() => attempts.size === bodies.length, 90000, 'all messages');
  assert.deepEqual([...attempts.keys()], bodies);
  assert.deepEqual(attempts.get('m-0'), [2]);
  t.diagnostic(`after ${Math.round((Date.now() - began) / 1000)} s`);
});

scenario('clients start and stop', async () => {
  const topic = await s.createTopic('start');
  const clients = [
    await s.startProducer(endpoints, topic),
    await s.startSimpleConsumer(endpoints, topic, s.unique('group')),
    await s.startPushConsumer(endpoints, topic, s.unique('group'), listener().consume),
  ];
  for (const client of clients) {
    assert.equal(client.isRunning(), true);
    await client.shutdown();
    assert.equal(client.isRunning(), false);
  }
});

scenario('sends in flight together are answered once each', async () => {
  const topic = await s.createTopic('async');
  const producer = await s.startProducer(endpoints, topic);
  const bodies = Array.from({ length: 50 }, (_, i) => `m-${i}`);
  const receipts = await Promise.all(
    bodies.map(body => producer.send({ topic, body: Buffer.from(body) })));
  for (const { messageId } of receipts) assert.match(messageId, /^01[0-9A-F]{32}$/);
  assert.equal(new Set(receipts.map(r => r.messageId)).size, 50);
  const consumer = await s.startSimpleConsumer(endpoints, topic, s.unique('group'));
  const got = await s.receiveUntil(consumer, seen => seen.size === 50, 30000);
  assert.deepEqual(s.missing(bodies, got.bodies), []);
  assert.equal(got.messages.length, 50);
});

scenario('a message arrives with all that was sent with it', async () => {
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

scenario('an acked message never comes again and an unacked one does', async () => {
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

scenario('a changed invisibility keeps a message away or brings it back', async () => {
  const topic = await s.createTopic('invisible');
  const producer = await s.startProducer(endpoints, topic);
  const consumer = await s.startSimpleConsumer(endpoints, topic, s.unique('group'));
  await producer.send({ topic, body: Buffer.from('m') });
  const first = await s.receiveUntil(consumer, seen => seen.size === 1, 20000, { ack: false });
  // The second time it goes on from where the first time would have ended.
  for (let i = 0; i < 2; i++) {
    await consumer.changeInvisibleDuration(first.messages[0], 12000);
    const early = await s.receiveUntil(consumer, seen => seen.size > 0, 8000);
    assert.deepEqual([...early.bodies.keys()], []);
  }
  await consumer.changeInvisibleDuration(first.messages[0], 1000);
  const again = await s.receiveUntil(consumer, seen => seen.size === 1, 15000);
  assert.deepEqual(again.messages.map(m => m.deliveryAttempt), [2]);
});

scenario('two consumers of a group share the messages, another group gets all', async () => {
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

// Counts attempts by body, and keeps the bodies in the order in which they came; fails the deliveries that `fails(body, how often)` is true for.
function listener(fails = () => false) {
  const attempts = new Map();
  const deliveries = [];
  const consume = async message => {
    const body = message.body.toString();
    attempts.set(body, [...(attempts.get(body) ?? []), message.deliveryAttempt]);
    deliveries.push(body);
    return fails(body, attempts.get(body).length) ? ConsumeResult.FAILURE : ConsumeResult.SUCCESS;
  };
  return { attempts, deliveries, consume };
}

scenario('a push consumer gets every message and a failed one again', async () => {
  const topic = await s.createTopic('push');
  const producer = await s.startProducer(endpoints, topic);
  const { attempts, consume } = listener((body, times) => body === 'm-3' && times === 1);
  await s.startPushConsumer(endpoints, topic, s.unique('group'), consume);
  const { bodies } = await s.sendMany(producer, topic, 40, 'm');
  await s.waitUntil(() => attempts.size === 40 && attempts.get('m-3').length === 2, 40000,
    '40 messages and one retry');
  assert.deepEqual(s.missing(bodies, attempts), []);
  assert.deepEqual(attempts.get('m-3'), [1, 2]);
});

scenario('a message that always fails is dead-lettered after its last attempt', async () => {
  const topic = await s.createTopic('dlq');
  const group = await s.createGroup({ retries: 2 });
  const producer = await s.startProducer(endpoints, topic);
  const { attempts, consume } = listener(body => body === 'm-1');
  await s.startPushConsumer(endpoints, topic, group, consume);
  const { bodies } = await s.sendMany(producer, topic, 5, 'm');
  const dead = await s.deadLetters(endpoints, group, 1);
  assert.deepEqual(dead.map(m => m.body.toString()), ['m-1']);
  assert.equal(dead[0].deliveryAttempt, 1);
  assert.deepEqual(attempts.get('m-1'), [1, 2, 3]);
  assert.deepEqual(s.missing(bodies, attempts), []);
});

scenario('an orderly consumer dead-letters a message and goes on with the next', async () => {
  const topic = await s.createTopic('dlq-fifo', 'FIFO');
  const group = await s.createGroup({ retries: 2, orderly: true });
  const producer = await s.startProducer(endpoints, topic);
  const { attempts, deliveries, consume } = listener(body => body === 'm-1');
  await s.startPushConsumer(endpoints, topic, group, consume);
  for (let i = 0; i < 4; i++) {
    await producer.send({ topic, body: Buffer.from(`m-${i}`), messageGroup: 'x' });
  }
  await s.waitUntil(() => attempts.has('m-3'), 40000, 'the last message');
  const dead = await s.deadLetters(endpoints, group, 1);
  assert.deepEqual(dead.map(m => m.body.toString()), ['m-1']);
  assert.deepEqual(deliveries, ['m-0', 'm-1', 'm-1', 'm-1', 'm-2', 'm-3']);
});

scenario('messages of one group arrive in order', async () => {
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

// Only these bodies reach a simple and a push consumer with this filter.
async function checkFiltered(topic, filter, expected) {
  const { attempts, consume } = listener();
  const subscriptions = new Map([[topic, filter]]);
  await s.startPushConsumer(endpoints, topic, s.unique('group'), consume, { subscriptions });
  const consumer = await s.startSimpleConsumer(endpoints, topic, s.unique('group'), { subscriptions });
  const got = await s.receiveUntil(consumer, seen => seen.size === expected.length, 30000);
  assert.deepEqual([...got.bodies.keys()].sort(), [...expected].sort());
  await s.waitUntil(() => attempts.size >= expected.length, 30000, 'all to be pushed');
  const later = await s.receiveUntil(consumer, seen => seen.size > 0, 4000);
  assert.deepEqual([...later.bodies.keys()], []);
  assert.deepEqual([...attempts.keys()].sort(), [...expected].sort());
}

scenario('only messages with a wanted tag arrive', async () => {
  const topic = await s.createTopic('tags');
  const producer = await s.startProducer(endpoints, topic);
  for (let i = 0; i < 20; i++) {
    await producer.send({
      topic, body: Buffer.from(`m-${i}`), tag: ['red', 'green', 'blue', 'grey'][i % 4],
    });
  }
  await checkFiltered(topic, new FilterExpression('red || blue'),
    Array.from({ length: 10 }, (_, i) => `m-${2 * i}`));
});

// The protocol's FilterType, which the package does not export.
const SQL = 2;

scenario('only messages that an SQL expression wants arrive', async () => {
  const topic = await s.createTopic('sql');
  const producer = await s.startProducer(endpoints, topic);
  for (let i = 0; i < 20; i++) {
    await producer.send({
      topic, body: Buffer.from(`m-${i}`), tag: i % 2 ? 'odd' : 'even',
      properties: new Map([['price', String(i)]]),
    });
  }
  await checkFiltered(topic,
    new FilterExpression("(price BETWEEN 15 AND 17 OR price = 3) AND TAGS = 'odd'", SQL),
    ['m-3', 'm-15', 'm-17']);
});

scenario('a delayed message comes when it is due', async () => {
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

scenario('a delayed message that is recalled never comes', async () => {
  const topic = await s.createTopic('recall', 'DELAY');
  const producer = await s.startProducer(endpoints, topic);
  const consumer = await s.startSimpleConsumer(endpoints, topic, s.unique('group'));
  const deliveryTimestamp = new Date(Date.now() + 6000);
  const recalled = await producer.send({ topic, body: Buffer.from('no'), deliveryTimestamp });
  await producer.send({ topic, body: Buffer.from('yes'), deliveryTimestamp });
  const receipt = await producer.recallMessage(topic, recalled.recallHandle);
  assert.equal(receipt.messageId, recalled.messageId);
  const { bodies } = await s.receiveUntil(consumer, seen => seen.size > 1, 11000);
  assert.deepEqual([...bodies.keys()], ['yes']);
  await assert.rejects(producer.recallMessage(topic, recalled.recallHandle));
});

scenario('an orphaned transaction is ended as its producer says when it is asked', async () => {
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

scenario('a transaction is seen after its commit and never after its rollback', async () => {
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

scenario('an unknown topic is refused', async () => {
  await assert.rejects(s.startProducer(endpoints, s.unique('nowhere')),
    error => /NotFound|40402|Failed to fetch topic routes/.test(`${error} ${error.cause?.cause ?? ''}`));
});

scenario('a message of the wrong type is refused', async () => {
  const topic = await s.createTopic('type');
  const producer = await s.startProducer(endpoints, topic);
  await assert.rejects(producer.send({ topic, body: Buffer.from('m'), messageGroup: 'x' }),
    /message type not match/);
});

scenario('a body above 4 MiB is refused and one of 4 MiB is taken', async () => {
  const topic = await s.createTopic('size');
  const producer = await s.startProducer(endpoints, topic, { requestTimeout: 10000 });
  await assert.rejects(producer.send({ topic, body: Buffer.alloc(4 * 1024 * 1024 + 1, 'x') }),
    /max/i);
  const receipt = await producer.send({ topic, body: Buffer.alloc(4 * 1024 * 1024, 'x') });
  assert.ok(receipt.messageId);
});

// Several at a time: they mostly wait.
describe('basics.test.js', { concurrency: 6 }, () => {
  for (const [name, run] of scenarios) test(name, run);
});

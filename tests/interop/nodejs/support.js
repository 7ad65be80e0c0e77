// What every scenario needs: the cluster under test, clients that are shut down at the end, waiting.
'use strict';

const { execFile, spawn } = require('node:child_process');
const assert = require('node:assert/strict');
const { randomBytes } = require('node:crypto');
const { once } = require('node:events');
const path = require('node:path');
const { promisify } = require('node:util');
const { Producer, PushConsumer, SimpleConsumer } = require('rocketmq-client-nodejs');

const CLUSTER = path.resolve(__dirname, '../../../deploy/local/cluster');
const run = promisify(execFile);
const quiet = { info() {}, warn() {}, error() {}, debug() {} };
const logger = process.env.RAFTMQ_TRACE ? console : quiet;

// The cluster's folder is in $RAFTMQ_CLUSTER_DIR; tests/interop/run starts it.
async function cluster(...args) {
  const { stdout } = await run(CLUSTER, [...args, '--json']);
  return stdout ? JSON.parse(stdout) : undefined;
}

async function status() {
  return cluster('status');
}

// The members of the first group, leader first.
async function members() {
  const { groups } = await status();
  const group = Object.values(groups)[0];
  return group.members.sort((a, b) => (b.id === group.leader) - (a.id === group.leader));
}

function unique(name) {
  return `${name}-${randomBytes(4).toString('hex')}`;
}

async function createTopic(name, type = 'NORMAL') {
  const topic = unique(name);
  await cluster('topic', topic, '--type', type);
  return topic;
}

// A consumer group that gives a message that fails out again after half a second.
async function createGroup({ retries, orderly = false }) {
  const group = unique('group');
  await cluster('group', group, '--retries', String(retries), '--delays', '500',
    ...(orderly ? ['--orderly'] : []));
  return group;
}

const started = [];

async function startProducer(endpoints, topic, options = {}) {
  return start(new Producer({ endpoints, namespace: '', topics: [topic], logger, ...options }));
}

async function startSimpleConsumer(endpoints, topic, consumerGroup, options = {}) {
  return start(new SimpleConsumer({
    endpoints, namespace: '', consumerGroup, subscriptions: new Map([[topic, '*']]),
    awaitDuration: 3000, logger, ...options,
  }));
}

async function startPushConsumer(endpoints, topic, consumerGroup, consume, options = {}) {
  return start(new PushConsumer({
    endpoints, namespace: '', consumerGroup, subscriptions: new Map([[topic, '*']]),
    messageListener: { consume }, logger, ...options,
  }));
}

// A client that is shut down takes the error listener off a Telemetry stream that it is just opening
// to a member that is down, and the error that follows ends the process (docs/clients.md). This puts
// a listener back, as an application would have to.
function keepErrorListeners(client) {
  const create = client.createTelemetryStream.bind(client);
  client.createTelemetryStream = endpoints => {
    const stream = create(endpoints);
    const removeAll = stream.removeAllListeners.bind(stream);
    stream.removeAllListeners = (...events) => removeAll(...events).on('error', () => {});
    return stream;
  };
  return client;
}

async function start(client) {
  await keepErrorListeners(client).startup();
  started.push(client);
  return client;
}

// A push consumer waits for its long poll, so all are stopped at once.
async function shutdownAll() {
  await Promise.allSettled(started.splice(0).map(client => client.shutdown()));
}

async function waitUntil(condition, timeoutMs, what) {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms for ${what}`);
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}

// Sends `count` bodies `<prefix>-<i>`, one after another. A send that fails after the client's own
// retries is sent again, as an application would. `at(i)` runs before the i-th. Returns what happened.
async function sendMany(producer, topic, count, prefix, at = () => {}) {
  const outcome = { bodies: [], failures: [], longestMs: 0 };
  for (let i = 0; i < count; i++) {
    await at(i);
    const body = `${prefix}-${i}`;
    const began = Date.now();
    await waitUntil(async () => {
      try {
        await producer.send({ topic, body: Buffer.from(body) });
        return true;
      } catch (error) {
        outcome.failures.push(error.message);
        return false;
      }
    }, 30000, `${body} to be sent; failures: ${outcome.failures.slice(-3).join('; ')}`);
    outcome.longestMs = Math.max(outcome.longestMs, Date.now() - began);
    outcome.bodies.push(body);
  }
  return outcome;
}

// Bodies of one message group; what fails after the client's own retries is sent again.
async function sendInOrder(producer, topic, count, at = () => {}, messageGroup = 'x') {
  const bodies = Array.from({ length: count }, (_, i) => `m-${i}`);
  for (const [i, body] of bodies.entries()) {
    await at(i);
    const message = { topic, body: Buffer.from(body), messageGroup };
    await waitUntil(() => producer.send(message).then(() => true, () => false), 30000,
      `${body} to be sent`);
  }
  return bodies;
}

// A message group that the client does not send through the member at `address`: it has a group's
// messages go through one member, whose death it does not notice (docs/clients.md).
async function messageGroupAvoiding(address, endpoints) {
  const topic = await createTopic('where', 'FIFO');
  const producer = await startProducer(endpoints, topic);
  for (let i = 0; i < 50; i++) {
    const messageGroup = `group-${i}`;
    const [receipt] = [await producer.send({ topic, body: Buffer.from('m'), messageGroup })].flat();
    if (receipt.endpoints.facade !== address) return messageGroup;
  }
  throw new Error(`50 message groups all go through ${address}`);
}

// Receives and acks until `done(bodies)` or the time is over. Failures are counted, not fatal.
async function receiveUntil(consumer, done, timeoutMs, { invisibleMs = 10000, ack = true } = {}) {
  const outcome = { bodies: new Map(), messages: [], failures: [], ackFailures: [] };
  const deadline = Date.now() + timeoutMs;
  while (!done(outcome.bodies) && Date.now() < deadline) {
    let batch = [];
    try {
      batch = await consumer.receive(32, invisibleMs);
    } catch (error) {
      outcome.failures.push(error.message);
      await new Promise(resolve => setTimeout(resolve, 100));
    }
    for (const message of batch) {
      const body = message.body.toString();
      outcome.bodies.set(body, (outcome.bodies.get(body) ?? 0) + 1);
      outcome.messages.push(message);
      if (!ack) continue;
      try {
        await consumer.ack(message);
      } catch (error) {
        outcome.ackFailures.push(error.message);
      }
    }
  }
  return outcome;
}

// Received from the dead-letter queue, which is made with its first message.
async function deadLetters(endpoints, group, count) {
  const consumer = await waitUntil(async () => {
    try {
      return await startSimpleConsumer(endpoints, `%DLQ%${group}`, unique('group'));
    } catch {
      return undefined;
    }
  }, 30000, 'a dead-letter queue');
  const { messages } = await receiveUntil(consumer, seen => seen.size === count, 20000);
  return messages;
}

// Kills a consumer in a process of its own (consume.js) once it holds `count` messages. Returns their
// bodies.
async function holdUntilKilled(kind, endpoints, topic, group, count) {
  const child = spawn(process.execPath,
    [path.join(__dirname, 'consume.js'), kind, endpoints, topic, group],
    { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  let output = '';
  child.stdout.on('data', data => { output += data; });
  const held = () => output.split('\n').slice(0, -1);
  try {
    await waitUntil(() => {
      assert.equal(child.exitCode, null, 'consume.js ended');
      return held().length >= count;
    }, 40000, `a consumer in another process to hold ${count} messages`);
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
  return held();
}

function missing(expected, seen) {
  return expected.filter(body => !seen.has(body));
}

function foreign(expected, seen) {
  const known = new Set(expected);
  return [...seen.keys()].filter(body => !known.has(body));
}

module.exports = {
  cluster, createGroup, createTopic, deadLetters, foreign, holdUntilKilled, keepErrorListeners, members,
  messageGroupAvoiding, missing, receiveUntil, sendInOrder, sendMany, shutdownAll, startProducer,
  startPushConsumer, startSimpleConsumer, status, unique, waitUntil,
};

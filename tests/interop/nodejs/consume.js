// A consumer that never finishes a message, to be killed:
// `node consume.js push|simple ENDPOINTS TOPIC GROUP` prints the body of each message that it holds.
'use strict';

const s = require('./support');

async function main(kind, endpoints, topic, group) {
  const hold = message => console.log(message.body.toString());
  if (kind === 'push') {
    await s.startPushConsumer(endpoints, topic, group, message => {
      hold(message);
      return new Promise(() => {});
    });
    return;
  }
  const consumer = await s.startSimpleConsumer(endpoints, topic, group);
  for (;;) (await consumer.receive(32, 10000)).forEach(hold);
}

main(...process.argv.slice(2));

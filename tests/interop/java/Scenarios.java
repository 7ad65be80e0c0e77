// The official RocketMQ 5 client for Java against the cluster in $RAFTMQ_CLUSTER_DIR. Prints TAP.

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntConsumer;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.FilterExpressionType;
import org.apache.rocketmq.client.apis.consumer.PushConsumer;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.SendReceipt;
import org.apache.rocketmq.client.apis.producer.Transaction;
import org.apache.rocketmq.client.apis.producer.TransactionResolution;

// Extends what it calls, since classes without a package cannot be imported.
public final class Scenarios extends Clients {
  private static final Tap TAP = new Tap();

  private interface Other {
    Map<String, List<Integer>> attempts(String topic, String group, int count) throws Exception;
  }

  /** What a killed consumer held comes again, to `other`; what nobody held comes at once. */
  private static String takenOver(String kind, Other other) throws Exception {
    String topic = newTopic("takeover");
    String group = unique("group");
    Producer producer = producer(topic);
    Set<String> held = new TreeSet<>(sendMany(producer, topic, 10).bodies);
    checkEqual(new TreeSet<>(holdUntilKilled(kind, topic, group, 10)), held, "what it held");
    long began = System.nanoTime();
    List<String> late = sendMany(producer, topic, 5, "late", i -> {}).bodies;
    Map<String, List<Integer>> attempts = other.attempts(topic, group, 15);
    for (String body : held) {
      checkEqual(attempts.get(body), List.of(2), "attempts of " + body);
    }
    for (String body : late) {
      checkEqual(attempts.get(body), List.of(1), "attempts of " + body);
    }
    return "after " + (System.nanoTime() - began) / 1_000_000_000 + " s";
  }

  /** Bodies of one message group; what fails after the client's own retries is sent again. */
  private static List<String> sendInOrder(String topic, int count, IntConsumer at) throws Exception {
    Producer producer = producer(topic);
    List<String> bodies = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      at.accept(i);
      String body = "m-" + i;
      waitUntil(() -> succeeds(() -> producer.send(message(topic, body).setMessageGroup("x").build())),
          30, body + " to be sent");
      bodies.add(body);
    }
    return bodies;
  }

  private static String orderlyTakenOver() throws Exception {
    String topic = newTopic("takeover-fifo", "FIFO");
    String group = newGroup("--orderly");
    List<String> bodies = sendInOrder(topic, 6, i -> {});
    checkEqual(holdUntilKilled("push", topic, group, 1), bodies.subList(0, 1), "what it held");
    long began = System.nanoTime();
    Listener listener = new Listener();
    pushConsumer(topic, group, listener);
    waitUntil(() -> listener.order.size() == bodies.size(), 90, "all messages");
    checkEqual(listener.order, bodies, "order");
    checkEqual(listener.attempts.get("m-0"), List.of(2), "attempts of the held one");
    return "after " + (System.nanoTime() - began) / 1_000_000_000 + " s";
  }

  private static String killedWhileOrderly() throws Exception {
    String topic = newTopic("kill-fifo", "FIFO");
    String group = newGroup("--orderly");
    Listener listener = new Listener();
    pushConsumer(topic, group, listener);
    List<String> bodies =
        sendInOrder(topic, 150, killLeaderAt(50, () -> !listener.attempts.isEmpty()));
    waitUntil(() -> listener.order.size() >= 150, 90, "150 messages");
    checkEqual(listener.order, bodies, "order");
    int all = listener.attempts.values().stream().mapToInt(List::size).sum();
    return (all - 150) + " redelivered";
  }

  private static void takeovers() {
    TAP.scenario("messages of a killed push consumer are taken over",
        () -> takenOver("push", (topic, group, count) -> {
          Listener listener = new Listener();
          pushConsumer(topic, group, listener);
          waitUntil(() -> listener.attempts.size() == count, 90, "all messages");
          return listener.attempts;
        }));
    TAP.scenario("messages of a killed orderly consumer are taken over in order",
        Scenarios::orderlyTakenOver);
    TAP.scenario("messages of a killed simple consumer are taken over",
        () -> takenOver("simple", (topic, group, count) ->
            receiveUntil(simpleConsumer(topic, group, FilterExpression.SUB_ALL, true),
                c -> c.size() == count, 40, true).attempts));
  }

  private static String allFields(boolean tls) throws Exception {
    String topic = newTopic("fields");
    SendReceipt receipt = producer(topic, tls, null).send(
        message(topic, "päyload \uD83D\uDE80").setTag("blue").setKeys("key-1", "key-2")
            .addProperty("colour", "blue").build());
    SimpleConsumer consumer = simpleConsumer(topic, unique("group"), FilterExpression.SUB_ALL, tls);
    Received got = receiveUntil(consumer, c -> c.size() == 1, 20, true);
    checkEqual(got.messages.size(), 1, "messages");
    MessageView one = got.messages.get(0);
    checkEqual(one.getMessageId().toString(), receipt.getMessageId().toString(), "id");
    checkEqual(body(one), "päyload \uD83D\uDE80", "body");
    checkEqual(one.getTag().get(), "blue", "tag");
    checkEqual(new TreeSet<>(one.getKeys()).toString(), "[key-1, key-2]", "keys");
    checkEqual(one.getProperties().get("colour"), "blue", "property");
    checkEqual(one.getDeliveryAttempt(), 1, "attempt");
    return null;
  }

  private static String changedInvisibility() throws Exception {
    String topic = newTopic("invisible");
    sendMany(producer(topic), topic, 1);
    SimpleConsumer consumer = simpleConsumer(topic);
    MessageView first = receiveUntil(consumer, c -> !c.isEmpty(), 20, false).messages.get(0);
    for (int i = 0; i < 2; i++) { // the second time it goes on from where the first would have ended
      consumer.changeInvisibleDuration(first, Duration.ofSeconds(12));
      checkEqual(receiveUntil(consumer, c -> !c.isEmpty(), 8, true).counts, Map.of(), "early");
    }
    consumer.changeInvisibleDuration(first, Duration.ofSeconds(1));
    checkEqual(receiveUntil(consumer, c -> !c.isEmpty(), 15, true).attempts,
        Map.of("m-0", List.of(2)), "attempts after its time");
    return null;
  }

  private static void basics() {
    TAP.scenario("clients start and stop", () -> {
      String topic = newTopic("start");
      producer(topic).close();
      simpleConsumer(topic).close();
      PushConsumer push = PROVIDER.newPushConsumerBuilder()
          .setClientConfiguration(configuration(true)).setConsumerGroup(unique("group"))
          .setSubscriptionExpressions(Collections.singletonMap(topic, FilterExpression.SUB_ALL))
          .setMessageListener(new Listener()).build();
      push.close();
      return null;
    });
    TAP.scenario("a message arrives with all that was sent with it", () -> allFields(true));
    TAP.scenario("a message arrives with all that was sent with it, in plaintext",
        () -> allFields(false));
    TAP.scenario("sends in flight together are answered once each", () -> {
      String topic = newTopic("async");
      Producer producer = producer(topic);
      List<CompletableFuture<SendReceipt>> answers = new ArrayList<>();
      List<String> bodies = new ArrayList<>();
      for (int i = 0; i < 50; i++) {
        bodies.add("m-" + i);
        answers.add(producer.sendAsync(message(topic, "m-" + i).build()));
      }
      Set<String> ids = new HashSet<>();
      for (CompletableFuture<SendReceipt> answer : answers) {
        ids.add(answer.get(20, TimeUnit.SECONDS).getMessageId().toString());
      }
      checkEqual(ids.size(), 50, "message ids");
      Received got = receiveUntil(simpleConsumer(topic), c -> c.size() == 50, 30, true);
      checkComplete(bodies, got.counts.keySet());
      checkEqual(got.messages.size(), 50, "messages");
      return null;
    });
    TAP.scenario("an acked message never comes again and an unacked one does", () -> {
      String topic = newTopic("ack");
      Sent sent = sendMany(producer(topic), topic, 20);
      SimpleConsumer consumer = simpleConsumer(topic);
      Received first = receiveUntil(consumer, c -> c.size() == 20, 20, false);
      checkComplete(sent.bodies, first.counts.keySet());
      MessageView kept = first.messages.get(7);
      for (MessageView message : first.messages) {
        if (message != kept) {
          consumer.ack(message);
        }
      }
      checkEqual(receiveUntil(consumer, c -> !c.isEmpty(), 25, true).attempts,
          Map.of(body(kept), List.of(2)), "what came again");
      checkEqual(receiveUntil(consumer, c -> !c.isEmpty(), 5, true).counts, Map.of(), "later");
      return null;
    });
    TAP.scenario("a changed invisibility keeps a message away or brings it back",
        Scenarios::changedInvisibility);
    TAP.scenario("messages of one group arrive in order", () -> {
      String topic = newTopic("fifo", "FIFO");
      Producer producer = producer(topic);
      for (int i = 0; i < 15; i++) {
        for (String group : new String[] {"x", "y"}) {
          producer.send(message(topic, group + "-" + i).setMessageGroup(group).build());
        }
      }
      Received got = receiveUntil(simpleConsumer(topic), c -> c.size() == 30, 40, true);
      Map<String, Integer> next = new HashMap<>();
      for (MessageView message : got.messages) {
        String group = message.getMessageGroup().get();
        int i = next.merge(group, 1, Integer::sum) - 1;
        checkEqual(body(message), group + "-" + i, "order");
      }
      checkEqual(got.messages.size(), 30, "messages");
      return null;
    });
  }

  private static void pushing() {
    TAP.scenario("a push consumer gets every message and a failed one again", () -> {
      String topic = newTopic("push");
      Listener listener = new Listener((body, times) -> body.equals("m-3") && times == 1);
      pushConsumer(topic, unique("group"), listener);
      Sent sent = sendMany(producer(topic), topic, 40);
      waitUntil(() -> listener.attempts.size() == 40 && listener.attempts.get("m-3").size() == 2, 40,
          "40 messages and one retry");
      checkComplete(sent.bodies, listener.attempts.keySet());
      checkEqual(listener.attempts.get("m-3"), List.of(1, 2), "attempts");
      return null;
    });
    TAP.scenario("a message that always fails is dead-lettered after its last attempt", () -> {
      String topic = newTopic("dlq");
      String group = newGroup("--retries", "2");
      Listener listener = new Listener((body, times) -> body.equals("m-1"));
      pushConsumer(topic, group, listener);
      Sent sent = sendMany(producer(topic), topic, 5);
      checkEqual(deadLetters(group, 1).counts, Map.of("m-1", 1), "dead letters");
      checkEqual(listener.attempts.get("m-1"), List.of(1, 2, 3), "attempts of the failed one");
      checkComplete(sent.bodies, listener.attempts.keySet());
      return null;
    });
    TAP.scenario("an orderly consumer dead-letters a message and goes on with the next", () -> {
      String topic = newTopic("dlq-fifo", "FIFO");
      String group = newGroup("--retries", "2", "--orderly");
      Listener listener = new Listener((body, times) -> body.equals("m-1"));
      pushConsumer(topic, group, listener);
      Producer producer = producer(topic);
      for (int i = 0; i < 4; i++) {
        producer.send(message(topic, "m-" + i).setMessageGroup("x").build());
      }
      waitUntil(() -> listener.attempts.containsKey("m-3"), 40, "the last message");
      checkEqual(deadLetters(group, 1).counts, Map.of("m-1", 1), "dead letters");
      checkEqual(listener.deliveries, List.of("m-0", "m-1", "m-1", "m-1", "m-2", "m-3"), "deliveries");
      return null;
    });
  }

  /** Only these bodies reach a simple and a push consumer with this filter. */
  private static void checkFiltered(String topic, FilterExpression filter, Set<String> expected)
      throws Exception {
    Listener listener = new Listener();
    pushConsumer(topic, unique("group"), filter, listener);
    SimpleConsumer consumer = simpleConsumer(topic, unique("group"), filter, true);
    Received got = receiveUntil(consumer, c -> c.size() == expected.size(), 30, true);
    checkEqual(got.counts.keySet(), expected, "what a simple consumer got");
    waitUntil(() -> listener.attempts.size() >= expected.size(), 30, "all to be pushed");
    checkEqual(receiveUntil(consumer, c -> !c.isEmpty(), 4, true).counts, Map.of(), "later");
    checkEqual(listener.attempts.keySet(), expected, "what a push consumer got");
  }

  private static void filters() {
    TAP.scenario("only messages with a wanted tag arrive", () -> {
      String topic = newTopic("tags");
      Producer producer = producer(topic);
      Set<String> wanted = new TreeSet<>();
      for (int i = 0; i < 20; i++) {
        String tag = new String[] {"red", "green", "blue", "grey"}[i % 4];
        producer.send(message(topic, "m-" + i).setTag(tag).build());
        if (i % 2 == 0) {
          wanted.add("m-" + i);
        }
      }
      checkFiltered(topic, new FilterExpression("red || blue"), wanted);
      return null;
    });
    TAP.scenario("only messages that an SQL expression wants arrive", () -> {
      String topic = newTopic("sql");
      Producer producer = producer(topic);
      for (int i = 0; i < 20; i++) {
        producer.send(message(topic, "m-" + i).setTag(i % 2 == 0 ? "even" : "odd")
            .addProperty("price", String.valueOf(i)).build());
      }
      checkFiltered(topic,
          new FilterExpression("(price BETWEEN 15 AND 17 OR price = 3) AND TAGS = 'odd'",
              FilterExpressionType.SQL92),
          Set.of("m-3", "m-15", "m-17"));
      return null;
    });
  }

  private static void delays() {
    TAP.scenario("a delayed message comes when it is due", () -> {
      String topic = newTopic("delay", "DELAY");
      SimpleConsumer consumer = simpleConsumer(topic);
      long due = System.currentTimeMillis() + 4000;
      producer(topic).send(message(topic, "later").setDeliveryTimestamp(due).build());
      Received got = receiveUntil(consumer, c -> !c.isEmpty(), 20, true);
      long late = System.currentTimeMillis() - due;
      checkEqual(got.messages.size(), 1, "messages");
      check(late >= -50 && late < 3000, "delivered " + late + " ms after it was due");
      return null;
    });
    TAP.scenario("a delayed message that is recalled never comes", () -> {
      String topic = newTopic("recall", "DELAY");
      Producer producer = producer(topic);
      SimpleConsumer consumer = simpleConsumer(topic);
      long due = System.currentTimeMillis() + 6000;
      SendReceipt recalled = producer.send(message(topic, "no").setDeliveryTimestamp(due).build());
      producer.send(message(topic, "yes").setDeliveryTimestamp(due).build());
      String handle = recalled.getRecallHandle();
      checkEqual(producer.recallMessage(topic, handle).getMessageId().toString(),
          recalled.getMessageId().toString(), "id of the recalled");
      checkEqual(receiveUntil(consumer, c -> c.size() > 1, 11, true).counts, Map.of("yes", 1),
          "what came");
      checkRefused(() -> producer.recallMessage(topic, handle), "recalled already", "a second recall");
      return null;
    });
  }

  private static void transactions() {
    TAP.scenario("a transaction is seen after its commit and never after its rollback", () -> {
      String topic = newTopic("transaction", "TRANSACTION");
      Producer producer = producer(topic, true, message -> TransactionResolution.ROLLBACK);
      SimpleConsumer consumer = simpleConsumer(topic);
      Transaction dropped = producer.beginTransaction();
      Transaction kept = producer.beginTransaction();
      producer.send(message(topic, "no").build(), dropped);
      producer.send(message(topic, "yes").build(), kept);
      checkEqual(receiveUntil(consumer, c -> !c.isEmpty(), 2, true).counts, Map.of(), "early");
      dropped.rollback();
      kept.commit();
      checkEqual(receiveUntil(consumer, c -> !c.isEmpty(), 15, true).counts, Map.of("yes", 1),
          "after the commit");
      checkEqual(receiveUntil(consumer, c -> !c.isEmpty(), 4, true).counts, Map.of(), "late");
      return null;
    });
    TAP.scenario("an orphaned transaction is ended as its producer says when it is asked", () -> {
      String topic = newTopic("orphan", "TRANSACTION");
      List<String> asked = new CopyOnWriteArrayList<>();
      Producer producer = producer(topic, true, message -> {
        asked.add(body(message));
        return body(message).equals("yes")
            ? TransactionResolution.COMMIT : TransactionResolution.ROLLBACK;
      });
      SimpleConsumer consumer = simpleConsumer(topic);
      producer.send(message(topic, "yes").build(), producer.beginTransaction());
      producer.send(message(topic, "no").build(), producer.beginTransaction());
      checkEqual(receiveUntil(consumer, c -> !c.isEmpty(), 60, true).counts, Map.of("yes", 1),
          "committed by the check");
      waitUntil(() -> asked.size() >= 2, 20, "both to be asked about");
      checkEqual(receiveUntil(consumer, c -> !c.isEmpty(), 3, true).counts, Map.of(), "later");
      checkEqual(new TreeSet<>(asked), Set.of("no", "yes"), "asked about");
      return null;
    });
  }

  private static void refusals() {
    TAP.scenario("an unknown topic is refused", () -> {
      checkRefused(() -> producer(unique("nowhere")), "topic|route|not.?found", "a topic");
      return null;
    });
    TAP.scenario("a message of the wrong type is refused", () -> {
      String topic = newTopic("type");
      Producer producer = producer(topic);
      checkRefused(() -> producer.send(message(topic, "m").setMessageGroup("x").build()), "type",
          "a wrong type");
      return null;
    });
    TAP.scenario("a body above 4 MiB is refused and one of 4 MiB is taken", () -> {
      String topic = newTopic("size");
      Producer producer = producer(topic);
      int limit = 4 * 1024 * 1024;
      checkRefused(() -> producer.send(PROVIDER.newMessageBuilder().setTopic(topic)
          .setBody(new byte[limit + 1]).build()), "size|large|body", "4 MiB + 1");
      producer.send(PROVIDER.newMessageBuilder().setTopic(topic).setBody(new byte[limit]).build());
      return null;
    });
  }

  private static void failover() {
    TAP.alone("the leader is killed while a client sends", () -> {
      String topic = newTopic("kill-send");
      Sent sent = sendMany(producer(topic), topic, 300, "m", killLeaderAt(80, () -> true));
      Received got = receiveUntil(simpleConsumer(topic), c -> c.size() >= 300, 60, true);
      checkComplete(sent.bodies, got.counts.keySet());
      check(sent.longestMs < 10_000, "one send took " + sent.longestMs + " ms");
      return sent.failures.size() + " sends failed, the longest took " + sent.longestMs + " ms";
    });
    TAP.alone("the leader is killed while a client consumes", () -> {
      String topic = newTopic("kill-consume");
      SimpleConsumer consumer = simpleConsumer(topic);
      Producer producer = producer(topic);
      Sent[] sent = new Sent[1];
      Thread sender = thread(() -> sent[0] = sendMany(producer, topic, 400, "m",
          killLeaderAt(150, () -> true)));
      Received got = receiveUntil(consumer, c -> c.size() >= 400, 90, true);
      sender.join();
      checkComplete(sent[0].bodies, got.counts.keySet());
      return got.failures.size() + " receives or acks failed, "
          + (got.messages.size() - got.counts.size()) + " redelivered";
    });
    TAP.alone("the leader is killed while a push consumer works", () -> {
      String topic = newTopic("kill-push");
      Listener listener = new Listener();
      pushConsumer(topic, unique("group"), listener);
      Sent sent = sendMany(producer(topic), topic, 300, "m",
          killLeaderAt(100, () -> !listener.attempts.isEmpty()));
      waitUntil(() -> listener.attempts.size() >= 300, 90, "300 messages");
      checkComplete(sent.bodies, listener.attempts.keySet());
      int all = listener.attempts.values().stream().mapToInt(List::size).sum();
      return (all - 300) + " redelivered";
    });
    TAP.alone("the leader is killed while an orderly consumer works", Scenarios::killedWhileOrderly);
    TAP.alone("open transactions and delayed messages survive a killed leader",
        Scenarios::killedBetween);
    TAP.alone("every member is restarted while a client sends and consumes", Scenarios::rolling);
  }

  private static boolean succeeds(Task call) {
    try {
      call.run();
      return true;
    } catch (Exception notYet) {
      return false;
    }
  }

  private static String killedBetween() throws Exception {
    String transactions = newTopic("kill-half", "TRANSACTION");
    String delays = newTopic("kill-delay", "DELAY");
    Producer producer = producer(transactions, true, message -> TransactionResolution.ROLLBACK);
    Producer timer = producer(delays);
    SimpleConsumer ended = simpleConsumer(transactions);
    SimpleConsumer later = simpleConsumer(delays);
    Transaction dropped = producer.beginTransaction();
    Transaction kept = producer.beginTransaction();
    producer.send(message(transactions, "no").build(), dropped);
    producer.send(message(transactions, "yes").build(), kept);
    long due = System.currentTimeMillis() + 6000;
    SendReceipt recalled =
        timer.send(message(delays, "recalled").setDeliveryTimestamp(due).build());
    timer.send(message(delays, "later").setDeliveryTimestamp(due).build());
    cluster("kill", "leader");
    waitUntil(() -> succeeds(kept::commit), 20, "the commit");
    waitUntil(() -> succeeds(dropped::rollback), 20, "the rollback");
    waitUntil(() -> succeeds(() -> timer.recallMessage(delays, recalled.getRecallHandle())), 20,
        "the recall");
    checkEqual(receiveUntil(ended, c -> !c.isEmpty(), 20, true).counts, Map.of("yes", 1), "committed");
    checkEqual(receiveUntil(later, c -> !c.isEmpty(), 20, true).counts, Map.of("later", 1), "delayed");
    check(System.currentTimeMillis() >= due - 50, "it came early");
    for (SimpleConsumer consumer : List.of(ended, later)) {
      checkEqual(receiveUntil(consumer, c -> !c.isEmpty(), 3, true).counts, Map.of(), "afterwards");
    }
    return null;
  }

  private static String rolling() throws Exception {
    String topic = newTopic("rolling");
    Producer producer = producer(topic);
    SimpleConsumer consumer = simpleConsumer(topic);
    List<String> members = members();
    List<String> restarted = new CopyOnWriteArrayList<>();
    Thread restarting = thread(() -> {
      for (String member : members) {
        cluster("restart", member);
        restarted.add(member);
      }
    });
    AtomicInteger sentAll = new AtomicInteger(-1); // how many, once it is known
    CompletableFuture<Received> consumed = CompletableFuture.supplyAsync(() -> receiveUntil(consumer,
        c -> sentAll.get() >= 0 && c.size() >= sentAll.get(), 120, true));
    List<String> bodies = new ArrayList<>();
    int failures = 0;
    long longest = 0;
    for (int round = 0; restarting.isAlive(); round++) {
      Sent sent = sendMany(producer, topic, 50, "m-" + round, i -> {});
      bodies.addAll(sent.bodies);
      failures += sent.failures.size();
      longest = Math.max(longest, sent.longestMs);
    }
    sentAll.set(bodies.size());
    checkComplete(bodies, consumed.get(150, TimeUnit.SECONDS).counts.keySet());
    checkEqual(restarted, members, "restarted members");
    return bodies.size() + " sent, " + failures + " sends failed, the longest took " + longest + " ms";
  }

  public static void main(String[] args) throws Exception {
    if (args.length == 4 && args[0].equals("consume")) {
      consumeForEver(args[1], args[2], args[3]);
    }
    takeovers(); // first: the longest waits
    basics();
    pushing();
    filters();
    delays();
    transactions();
    refusals();
    Lite.addTo(TAP);
    failover();
    System.exit(TAP.run() == 0 ? 0 : 1);
  }
}

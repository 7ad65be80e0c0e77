// The official RocketMQ 5 client for Java against the cluster in $RAFTMQ_CLUSTER_DIR. Prints TAP.

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.BooleanSupplier;
import java.util.function.IntConsumer;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.consumer.ConsumeResult;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.MessageListener;
import org.apache.rocketmq.client.apis.consumer.PushConsumer;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.Message;
import org.apache.rocketmq.client.apis.message.MessageBuilder;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.ProducerBuilder;
import org.apache.rocketmq.client.apis.producer.SendReceipt;
import org.apache.rocketmq.client.apis.producer.Transaction;
import org.apache.rocketmq.client.apis.producer.TransactionResolution;

public final class Scenarios {
  private static final ClientServiceProvider PROVIDER = ClientServiceProvider.loadService();
  private static final List<AutoCloseable> RUNNING = new CopyOnWriteArrayList<>();
  private static final Map<String, Scenario> SCENARIOS = new LinkedHashMap<>();

  private interface Scenario {
    String run() throws Exception; // a note for the report, or null
  }

  // --- the cluster -----------------------------------------------------------------------------

  private static String cluster(String... args) throws IOException, InterruptedException {
    List<String> command = new ArrayList<>();
    command.add(System.getenv("RAFTMQ_CLUSTER_SCRIPT"));
    command.addAll(Arrays.asList(args));
    command.add("--json");
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    if (process.waitFor() != 0) {
      throw new IOException(command + ": " + output);
    }
    return output;
  }

  private static List<String> matches(String pattern, String text) {
    List<String> found = new ArrayList<>();
    for (Matcher m = Pattern.compile(pattern).matcher(text); m.find(); ) {
      found.add(m.group(1));
    }
    return found;
  }

  private static String accessPoints() throws Exception {
    return matches("\"access_points\": \"([^\"]*)\"", cluster("status")).get(0);
  }

  private static List<String> members() throws Exception {
    return matches("\"id\": \"(n\\d+)\"", cluster("status"));
  }

  private static String newTopic(String name, String type) throws Exception {
    String topic = unique(name);
    cluster("topic", topic, "--type", type);
    return topic;
  }

  private static String newTopic(String name) throws Exception {
    return newTopic(name, "NORMAL");
  }

  private static void heal() throws Exception {
    String status = cluster("status");
    List<String> roles = matches("\"role\": \"(\\w+)\"", status);
    List<String> ids = matches("\"id\": \"(n\\d+)\"", status);
    for (int i = 0; i < ids.size(); i++) {
      if (roles.get(i).equals("DOWN")) {
        cluster("restart", ids.get(i));
      }
    }
  }

  // --- clients ---------------------------------------------------------------------------------

  private static ClientConfiguration configuration(boolean tls) throws Exception {
    return ClientConfiguration.newBuilder()
        .setEndpoints(accessPoints()).enableSsl(tls).setRequestTimeout(Duration.ofSeconds(5)).build();
  }

  private static <T extends AutoCloseable> T started(T client) {
    RUNNING.add(client);
    return client;
  }

  private static Producer producer(String topic, boolean tls) throws Exception {
    return started(
        PROVIDER.newProducerBuilder().setClientConfiguration(configuration(tls)).setTopics(topic)
            .build());
  }

  private static Producer producer(String topic) throws Exception {
    return producer(topic, false);
  }

  private static SimpleConsumer simpleConsumer(String topic, boolean tls) throws Exception {
    return started(
        PROVIDER.newSimpleConsumerBuilder().setClientConfiguration(configuration(tls))
            .setConsumerGroup(unique("group")).setAwaitDuration(Duration.ofSeconds(3))
            .setSubscriptionExpressions(Collections.singletonMap(topic, FilterExpression.SUB_ALL))
            .build());
  }

  private static SimpleConsumer simpleConsumer(String topic) throws Exception {
    return simpleConsumer(topic, false);
  }

  // A consumer group that gives a message that fails out again after half a second.
  private static String newGroup(String... more) throws Exception {
    String group = unique("group");
    List<String> arguments = new ArrayList<>(List.of("group", group, "--delays", "500"));
    arguments.addAll(List.of(more));
    cluster(arguments.toArray(new String[0]));
    return group;
  }

  // Received from the dead-letter queue, which is made with its first message.
  private static Received deadLetters(String group, int count) throws Exception {
    SimpleConsumer[] consumer = new SimpleConsumer[1];
    waitUntil(() -> {
      try {
        consumer[0] = simpleConsumer("%DLQ%" + group);
        return true;
      } catch (Exception notYet) {
        return false;
      }
    }, 30, "a dead-letter queue");
    return receiveUntil(consumer[0], c -> c.size() == count, 20, true);
  }

  private static PushConsumer pushConsumer(String topic, MessageListener listener) throws Exception {
    return pushConsumer(topic, unique("group"), listener);
  }

  private static PushConsumer pushConsumer(String topic, String group, MessageListener listener)
      throws Exception {
    return started(
        PROVIDER.newPushConsumerBuilder().setClientConfiguration(configuration(false))
            .setConsumerGroup(group)
            .setSubscriptionExpressions(Collections.singletonMap(topic, FilterExpression.SUB_ALL))
            .setMessageListener(listener).build());
  }

  private static MessageBuilder message(String topic, String body) {
    return PROVIDER.newMessageBuilder().setTopic(topic).setBody(bytes(body));
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  private static String body(MessageView message) {
    return StandardCharsets.UTF_8.decode(message.getBody()).toString();
  }

  private static String unique(String name) {
    return name + "-" + UUID.randomUUID().toString().substring(0, 8);
  }

  // --- sending and receiving many ----------------------------------------------------------------

  private static final class Sent {
    final List<String> bodies = new ArrayList<>();
    final List<String> failures = new ArrayList<>();
    long longestMs;
  }

  /** One after another; what fails after the client's own retries is sent again. */
  private static Sent sendMany(
      Producer producer, String topic, int count, String prefix, IntConsumer at) throws Exception {
    Sent sent = new Sent();
    for (int i = 0; i < count; i++) {
      at.accept(i);
      String body = prefix + "-" + i;
      long began = System.nanoTime();
      waitUntil(
          () -> {
            try {
              producer.send(message(topic, body).build());
              return true;
            } catch (Exception error) {
              sent.failures.add(String.valueOf(error.getMessage()));
              return false;
            }
          },
          30, body + " to be sent");
      sent.longestMs = Math.max(sent.longestMs, (System.nanoTime() - began) / 1_000_000);
      sent.bodies.add(body);
    }
    return sent;
  }

  private static Sent sendMany(Producer producer, String topic, int count) throws Exception {
    return sendMany(producer, topic, count, "m", i -> {});
  }

  private static final class Received {
    final Map<String, Integer> counts = new LinkedHashMap<>();
    final List<MessageView> messages = new ArrayList<>();
    final List<String> failures = new ArrayList<>();
  }

  private static Received receiveUntil(
      SimpleConsumer consumer, Predicate<Map<String, Integer>> done, int seconds, boolean ack) {
    Received got = new Received();
    long deadline = System.nanoTime() + seconds * 1_000_000_000L;
    while (!done.test(got.counts) && System.nanoTime() < deadline) {
      List<MessageView> batch;
      try {
        batch = consumer.receive(32, Duration.ofSeconds(10));
      } catch (Exception error) {
        got.failures.add(String.valueOf(error.getMessage()));
        continue;
      }
      for (MessageView message : batch) {
        got.counts.merge(body(message), 1, Integer::sum);
        got.messages.add(message);
        if (!ack) {
          continue;
        }
        try {
          consumer.ack(message);
        } catch (Exception error) {
          got.failures.add("ack: " + error.getMessage());
        }
      }
    }
    return got;
  }

  // --- checks ----------------------------------------------------------------------------------

  private static void check(boolean condition, String what) {
    if (!condition) {
      throw new AssertionError(what);
    }
  }

  private static void checkEqual(Object actual, Object expected, String what) {
    check(expected.equals(actual), what + ": expected " + expected + ", found " + actual);
  }

  private static void checkComplete(List<String> bodies, Set<String> seen) {
    Set<String> missing = new TreeSet<>(bodies);
    missing.removeAll(seen);
    check(missing.isEmpty(), missing.size() + " acknowledged messages are missing: " + missing);
    Set<String> foreign = new TreeSet<>(seen);
    foreign.removeAll(new HashSet<>(bodies));
    check(foreign.isEmpty(), "messages that nobody sent: " + foreign);
  }

  private static void checkRefused(Scenario action, String pattern, String what) {
    try {
      action.run();
    } catch (Throwable error) {
      StringBuilder text = new StringBuilder();
      for (Throwable t = error; t != null; t = t.getCause()) {
        text.append(t).append('\n');
      }
      check(Pattern.compile(pattern, Pattern.CASE_INSENSITIVE).matcher(text).find(),
          what + ": the error says why: " + text);
      return;
    }
    throw new AssertionError(what + " was taken");
  }

  private static void waitUntil(BooleanSupplier condition, int seconds, String what)
      throws InterruptedException {
    long deadline = System.nanoTime() + seconds * 1_000_000_000L;
    while (!condition.getAsBoolean()) {
      check(System.nanoTime() < deadline, "waited " + seconds + " s for " + what);
      Thread.sleep(20);
    }
  }

  /** Delivery attempts by body; fails the first delivery of `failOnce`. */
  private static final class Listener implements MessageListener {
    final Map<String, List<Integer>> attempts = new ConcurrentHashMap<>();
    final String failOnce;

    Listener(String failOnce) {
      this.failOnce = failOnce;
    }

    @Override
    public ConsumeResult consume(MessageView message) {
      String body = body(message);
      List<Integer> seen = attempts.computeIfAbsent(body, b -> new CopyOnWriteArrayList<>());
      seen.add(message.getDeliveryAttempt());
      return body.equals(failOnce) && seen.size() == 1 ? ConsumeResult.FAILURE : ConsumeResult.SUCCESS;
    }
  }

  private static IntConsumer killLeaderAt(int when, BooleanSupplier ready) {
    return i -> {
      if (i != when) {
        return;
      }
      try {
        waitUntil(ready, 30, "a first message");
        cluster("kill", "leader");
      } catch (Exception error) {
        throw new IllegalStateException(error);
      }
    };
  }

  // Counts attempts by body; always fails one.
  private static MessageListener failing(String body, Map<String, List<Integer>> attempts) {
    return message -> {
      attempts.computeIfAbsent(body(message), b -> new CopyOnWriteArrayList<>())
          .add(message.getDeliveryAttempt());
      return body(message).equals(body) ? ConsumeResult.FAILURE : ConsumeResult.SUCCESS;
    };
  }

  // --- scenarios -------------------------------------------------------------------------------

  private static void basics() {
    for (boolean tls : new boolean[] {false, true}) {
      SCENARIOS.put("a message arrives with all that was sent with it, "
          + (tls ? "over TLS" : "in plaintext"), () -> {
            String topic = newTopic("fields");
            SendReceipt receipt = producer(topic, tls).send(
                message(topic, "päyload \uD83D\uDE80").setTag("blue").setKeys("key-1", "key-2")
                    .addProperty("colour", "blue").build());
            Received got = receiveUntil(simpleConsumer(topic, tls), c -> c.size() == 1, 20, true);
            checkEqual(got.messages.size(), 1, "messages");
            MessageView one = got.messages.get(0);
            checkEqual(one.getMessageId().toString(), receipt.getMessageId().toString(), "id");
            checkEqual(body(one), "päyload \uD83D\uDE80", "body");
            checkEqual(one.getTag().get(), "blue", "tag");
            checkEqual(new TreeSet<>(one.getKeys()).toString(), "[key-1, key-2]", "keys");
            checkEqual(one.getProperties().get("colour"), "blue", "property");
            checkEqual(one.getDeliveryAttempt(), 1, "attempt");
            return null;
          });
    }
    SCENARIOS.put("clients start and stop", () -> {
      String topic = newTopic("start");
      producer(topic).close();
      simpleConsumer(topic).close();
      return null;
    });
    SCENARIOS.put("an acked message never comes again and an unacked one does", () -> {
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
      Received again = receiveUntil(consumer, c -> !c.isEmpty(), 25, true);
      checkEqual(again.counts.keySet(), Collections.singleton(body(kept)), "what came again");
      checkEqual(again.messages.get(0).getDeliveryAttempt(), 2, "attempt");
      checkEqual(receiveUntil(consumer, c -> false, 5, true).counts, Map.of(), "later messages");
      return null;
    });
    SCENARIOS.put("a push consumer gets every message and a failed one again", () -> {
      String topic = newTopic("push");
      Listener listener = new Listener("m-3");
      pushConsumer(topic, listener);
      Sent sent = sendMany(producer(topic), topic, 40);
      waitUntil(() -> listener.attempts.size() == 40 && listener.attempts.get("m-3").size() == 2, 40,
          "40 messages and one retry");
      checkComplete(sent.bodies, listener.attempts.keySet());
      checkEqual(listener.attempts.get("m-3"), List.of(1, 2), "attempts");
      return null;
    });
    SCENARIOS.put("a message that always fails is dead-lettered after its last attempt", () -> {
      String topic = newTopic("dlq");
      String group = newGroup("--retries", "2");
      Map<String, List<Integer>> attempts = new ConcurrentHashMap<>();
      pushConsumer(topic, group, failing("m-1", attempts));
      Sent sent = sendMany(producer(topic), topic, 5);
      checkEqual(deadLetters(group, 1).counts, Map.of("m-1", 1), "dead letters");
      checkEqual(attempts.get("m-1"), List.of(1, 2, 3), "attempts of the failed one");
      checkComplete(sent.bodies, attempts.keySet());
      return null;
    });
    SCENARIOS.put("an orderly consumer dead-letters a message and goes on with the next", () -> {
      String topic = newTopic("dlq-fifo", "FIFO");
      String group = newGroup("--retries", "2", "--orderly");
      Map<String, List<Integer>> attempts = new ConcurrentHashMap<>();
      pushConsumer(topic, group, failing("m-1", attempts));
      Producer producer = producer(topic);
      for (int i = 0; i < 4; i++) {
        producer.send(message(topic, "m-" + i).setMessageGroup("x").build());
      }
      waitUntil(() -> attempts.containsKey("m-3"), 40, "the last message");
      checkEqual(deadLetters(group, 1).counts, Map.of("m-1", 1), "dead letters");
      checkEqual(attempts.get("m-1").size(), 3, "attempts of the failed one");
      return null;
    });
    SCENARIOS.put("messages of one group arrive in order", () -> {
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

  private static void kinds() {
    SCENARIOS.put("a delayed message comes when it is due", () -> {
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
    SCENARIOS.put("a transaction is seen after its commit and never after its rollback", () -> {
      String topic = newTopic("transaction", "TRANSACTION");
      Producer producer = transactional(topic, message -> TransactionResolution.ROLLBACK);
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
    SCENARIOS.put("the broker asks for the end of a transaction that was left open", () -> {
      String topic = newTopic("orphan", "TRANSACTION");
      Producer producer = transactional(topic, message -> TransactionResolution.COMMIT);
      producer.send(message(topic, "orphan").build(), producer.beginTransaction());
      checkEqual(receiveUntil(simpleConsumer(topic), c -> !c.isEmpty(), 60, true).counts,
          Map.of("orphan", 1), "committed by the check");
      return null;
    });
    SCENARIOS.put("an unknown topic, a wrong type and too long a body are refused", () -> {
      checkRefused(() -> producer(unique("nowhere")).toString(), "topic|route|not.?found", "a topic");
      String topic = newTopic("type");
      Producer producer = producer(topic);
      checkRefused(() -> producer.send(message(topic, "m").setMessageGroup("x").build()).toString(),
          "type", "a wrong type");
      int limit = 4 * 1024 * 1024;
      checkRefused(() -> producer.send(PROVIDER.newMessageBuilder().setTopic(topic)
          .setBody(new byte[limit + 1]).build()).toString(), "size|large|body", "4 MiB + 1");
      producer.send(PROVIDER.newMessageBuilder().setTopic(topic).setBody(new byte[limit]).build());
      return null;
    });
  }

  private static Producer transactional(String topic,
      java.util.function.Function<MessageView, TransactionResolution> checker) throws Exception {
    ProducerBuilder builder = PROVIDER.newProducerBuilder()
        .setClientConfiguration(configuration(false)).setTopics(topic)
        .setTransactionChecker(checker::apply);
    return started(builder.build());
  }

  private static void failover() {
    SCENARIOS.put("the leader is killed while a client sends", () -> {
      String topic = newTopic("kill-send");
      Sent sent = sendMany(producer(topic), topic, 300, "m", killLeaderAt(80, () -> true));
      Received got = receiveUntil(simpleConsumer(topic), c -> c.size() >= 300, 60, true);
      checkComplete(sent.bodies, got.counts.keySet());
      check(sent.longestMs < 10_000, "one send took " + sent.longestMs + " ms");
      return sent.failures.size() + " sends failed, the longest took " + sent.longestMs + " ms";
    });
    SCENARIOS.put("the leader is killed while a client consumes", () -> {
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
    SCENARIOS.put("the leader is killed while a push consumer works", () -> {
      String topic = newTopic("kill-push");
      Listener listener = new Listener(null);
      pushConsumer(topic, listener);
      Sent sent = sendMany(producer(topic), topic, 300, "m",
          killLeaderAt(100, () -> !listener.attempts.isEmpty()));
      waitUntil(() -> listener.attempts.size() >= 300, 90, "300 messages");
      checkComplete(sent.bodies, listener.attempts.keySet());
      int all = listener.attempts.values().stream().mapToInt(List::size).sum();
      return (all - 300) + " redelivered";
    });
    SCENARIOS.put("every member is restarted while a client sends", () -> {
      String topic = newTopic("rolling");
      Producer producer = producer(topic);
      AtomicBoolean done = new AtomicBoolean();
      Thread restarting = thread(() -> {
        try {
          for (String member : members()) {
            cluster("restart", member);
          }
        } finally {
          done.set(true);
        }
      });
      List<String> bodies = new ArrayList<>();
      int failures = 0;
      long longest = 0;
      for (int round = 0; !done.get(); round++) {
        Sent sent = sendMany(producer, topic, 50, "m-" + round, i -> {});
        bodies.addAll(sent.bodies);
        failures += sent.failures.size();
        longest = Math.max(longest, sent.longestMs);
      }
      restarting.join();
      Received got = receiveUntil(simpleConsumer(topic), c -> c.size() >= bodies.size(), 90, true);
      checkComplete(bodies, got.counts.keySet());
      return bodies.size() + " sent, " + failures + " sends failed, the longest took " + longest
          + " ms";
    });
  }

  private interface Task {
    void run() throws Exception;
  }

  private static Thread thread(Task task) {
    Thread thread = new Thread(() -> {
      try {
        task.run();
      } catch (Exception error) {
        error.printStackTrace();
      }
    });
    thread.start();
    return thread;
  }

  private static void stopClients() throws InterruptedException {
    List<Thread> closing = new ArrayList<>();
    for (AutoCloseable client : RUNNING) {
      closing.add(thread(client::close));
    }
    RUNNING.clear();
    for (Thread thread : closing) {
      thread.join(15_000);
    }
  }

  public static void main(String[] args) throws Exception {
    basics();
    kinds();
    failover();
    String only = System.getenv().getOrDefault("RAFTMQ_ONLY", "");
    SCENARIOS.keySet().removeIf(name -> !Pattern.compile(only).matcher(name).find());
    System.out.println("TAP version 13\n1.." + SCENARIOS.size());
    int number = 0;
    int failed = 0;
    for (Map.Entry<String, Scenario> scenario : SCENARIOS.entrySet()) {
      number++;
      try {
        heal();
        String note = scenario.getValue().run();
        System.out.println("ok " + number + " - " + scenario.getKey());
        if (note != null) {
          System.out.println("# " + note);
        }
      } catch (Throwable error) {
        failed++;
        System.out.println("not ok " + number + " - " + scenario.getKey() + "\n  ---\n  " + error);
        for (Throwable t = error.getCause(); t != null; t = t.getCause()) {
          System.out.println("  because: " + t);
        }
        System.out.println("  ...");
      }
      stopClients();
    }
    System.exit(failed == 0 ? 0 : 1);
  }
}

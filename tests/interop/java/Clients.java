// The official client, with what the scenarios have in common. The cluster is in $RAFTMQ_CLUSTER_DIR.

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
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BiPredicate;
import java.util.function.BooleanSupplier;
import java.util.function.IntConsumer;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientConfigurationBuilder;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.consumer.ConsumeResult;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.MessageListener;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageBuilder;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.ProducerBuilder;
import org.apache.rocketmq.client.apis.producer.TransactionChecker;

class Clients {
  static final ClientServiceProvider PROVIDER = ClientServiceProvider.loadService();
  /** The clients that this thread's scenario started. */
  private static final ThreadLocal<List<AutoCloseable>> RUNNING =
      ThreadLocal.withInitial(ArrayList::new);

  Clients() {}

  // --- the cluster -----------------------------------------------------------------------------

  static String cluster(String... args) throws IOException, InterruptedException {
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

  static List<String> matches(String pattern, String text) {
    List<String> found = new ArrayList<>();
    for (Matcher m = Pattern.compile(pattern).matcher(text); m.find(); ) {
      found.add(m.group(1));
    }
    return found;
  }

  static String accessPoints() throws Exception {
    return matches("\"access_points\": \"([^\"]*)\"", cluster("status")).get(0);
  }

  static List<String> members() throws Exception {
    return matches("\"id\": \"(n\\d+)\"", cluster("status"));
  }

  static String newTopic(String name, String type) throws Exception {
    String topic = unique(name);
    cluster("topic", topic, "--type", type);
    return topic;
  }

  static String newTopic(String name) throws Exception {
    return newTopic(name, "NORMAL");
  }

  static void heal() throws Exception {
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

  /** TLS is the client's default. */
  static ClientConfiguration configuration(boolean tls) throws Exception {
    ClientConfigurationBuilder builder = ClientConfiguration.newBuilder()
        .setEndpoints(accessPoints()).setRequestTimeout(Duration.ofSeconds(5));
    return (tls ? builder : builder.enableSsl(false)).build();
  }

  static <T extends AutoCloseable> T started(T client) {
    RUNNING.get().add(client);
    return client;
  }

  /** Those that this thread's scenario started. */
  static void stopClients() throws InterruptedException {
    List<Thread> closing = new ArrayList<>();
    for (AutoCloseable client : RUNNING.get()) {
      closing.add(thread(client::close));
    }
    RUNNING.get().clear();
    for (Thread thread : closing) {
      thread.join(15_000);
    }
  }

  static Producer producer(String topic, boolean tls, TransactionChecker checker) throws Exception {
    ProducerBuilder builder =
        PROVIDER.newProducerBuilder().setClientConfiguration(configuration(tls)).setTopics(topic);
    if (checker != null) {
      builder.setTransactionChecker(checker);
    }
    return started(builder.build());
  }

  static Producer producer(String topic) throws Exception {
    return producer(topic, true, null);
  }

  static SimpleConsumer simpleConsumer(
      String topic, String group, FilterExpression filter, boolean tls) throws Exception {
    return started(
        PROVIDER.newSimpleConsumerBuilder().setClientConfiguration(configuration(tls))
            .setConsumerGroup(group).setAwaitDuration(Duration.ofSeconds(3))
            .setSubscriptionExpressions(Collections.singletonMap(topic, filter)).build());
  }

  static SimpleConsumer simpleConsumer(String topic) throws Exception {
    return simpleConsumer(topic, unique("group"), FilterExpression.SUB_ALL, true);
  }

  // A consumer group that gives a message that fails out again after half a second.
  static String newGroup(String... more) throws Exception {
    String group = unique("group");
    List<String> arguments = new ArrayList<>(List.of("group", group, "--delays", "500"));
    arguments.addAll(List.of(more));
    cluster(arguments.toArray(new String[0]));
    return group;
  }

  // Received from the dead-letter queue, which is made with its first message.
  static Received deadLetters(String group, int count) throws Exception {
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

  static void pushConsumer(
      String topic, String group, FilterExpression filter, MessageListener listener)
      throws Exception {
    started(
        PROVIDER.newPushConsumerBuilder().setClientConfiguration(configuration(true))
            .setConsumerGroup(group)
            .setSubscriptionExpressions(Collections.singletonMap(topic, filter))
            .setMessageListener(listener).build());
  }

  static void pushConsumer(String topic, String group, MessageListener listener) throws Exception {
    pushConsumer(topic, group, FilterExpression.SUB_ALL, listener);
  }

  static MessageBuilder message(String topic, String body) {
    return PROVIDER.newMessageBuilder().setTopic(topic).setBody(bytes(body));
  }

  static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  static String body(MessageView message) {
    return StandardCharsets.UTF_8.decode(message.getBody()).toString();
  }

  static String unique(String name) {
    return name + "-" + UUID.randomUUID().toString().substring(0, 8);
  }

  // --- sending and receiving many ----------------------------------------------------------------

  static final class Sent {
    final List<String> bodies = new ArrayList<>();
    final List<String> failures = new ArrayList<>();
    long longestMs;
  }

  /** One after another; what fails after the client's own retries is sent again. */
  static Sent sendMany(
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

  static Sent sendMany(Producer producer, String topic, int count) throws Exception {
    return sendMany(producer, topic, count, "m", i -> {});
  }

  static final class Received {
    final Map<String, Integer> counts = new LinkedHashMap<>();
    final Map<String, List<Integer>> attempts = new HashMap<>();
    final List<MessageView> messages = new ArrayList<>();
    final List<String> failures = new ArrayList<>();
  }

  static Received receiveUntil(
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
        got.attempts.computeIfAbsent(body(message), b -> new ArrayList<>())
            .add(message.getDeliveryAttempt());
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

  static void check(boolean condition, String what) {
    if (!condition) {
      throw new AssertionError(what);
    }
  }

  static void checkEqual(Object actual, Object expected, String what) {
    check(expected.equals(actual), what + ": expected " + expected + ", found " + actual);
  }

  static void checkComplete(List<String> bodies, Set<String> seen) {
    Set<String> missing = new TreeSet<>(bodies);
    missing.removeAll(seen);
    check(missing.isEmpty(), missing.size() + " acknowledged messages are missing: " + missing);
    Set<String> foreign = new TreeSet<>(seen);
    foreign.removeAll(new HashSet<>(bodies));
    check(foreign.isEmpty(), "messages that nobody sent: " + foreign);
  }

  static void checkRefused(Callable<?> action, String pattern, String what) {
    try {
      action.call();
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

  static void waitUntil(BooleanSupplier condition, int seconds, String what)
      throws InterruptedException {
    long deadline = System.nanoTime() + seconds * 1_000_000_000L;
    while (!condition.getAsBoolean()) {
      check(System.nanoTime() < deadline, "waited " + seconds + " s for " + what);
      Thread.sleep(20);
    }
  }

  /** Delivery attempts by body; fails those that `fails(body, how often)` is true for. */
  static final class Listener implements MessageListener {
    final Map<String, List<Integer>> attempts = new ConcurrentHashMap<>();
    final List<String> order = new CopyOnWriteArrayList<>(); // in which each came first
    final List<String> deliveries = new CopyOnWriteArrayList<>(); // bodies, in order
    private final BiPredicate<String, Integer> fails;

    Listener(BiPredicate<String, Integer> fails) {
      this.fails = fails;
    }

    Listener() {
      this((body, times) -> false);
    }

    @Override
    public ConsumeResult consume(MessageView message) {
      String body = body(message);
      List<Integer> seen = attempts.computeIfAbsent(body, b -> new CopyOnWriteArrayList<>());
      seen.add(message.getDeliveryAttempt());
      deliveries.add(body);
      if (seen.size() == 1) {
        order.add(body);
      }
      return fails.test(body, seen.size()) ? ConsumeResult.FAILURE : ConsumeResult.SUCCESS;
    }
  }

  static IntConsumer killLeaderAt(int when, BooleanSupplier ready) {
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

  interface Task {
    void run() throws Exception;
  }

  static Thread thread(Task task) {
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

  // --- a consumer that is killed ---------------------------------------------------------------

  /** Never finishes a message; prints the body of each that it holds. */
  static void consumeForEver(String kind, String topic, String group) throws Exception {
    if (kind.equals("push")) {
      pushConsumer(topic, group, message -> {
        System.out.println(body(message));
        while (true) {
          LockSupport.park();
        }
      });
      Thread.currentThread().join();
    }
    SimpleConsumer consumer = simpleConsumer(topic, group, FilterExpression.SUB_ALL, true);
    while (true) {
      for (MessageView message : consumer.receive(32, Duration.ofSeconds(10))) {
        System.out.println(body(message));
      }
    }
  }

  /** Kills such a process once it holds `count` messages. Returns their bodies. */
  static List<String> holdUntilKilled(String kind, String topic, String group, int count)
      throws Exception {
    List<String> command = new ArrayList<>();
    command.add(ProcessHandle.current().info().command().orElse("java"));
    for (String property : new String[] {"user.home", "rocketmq.log.level"}) {
      command.add("-D" + property + "=" + System.getProperty(property));
    }
    command.addAll(List.of("-Xmx256m", "-cp", System.getProperty("java.class.path"), "Scenarios",
        "consume", kind, topic, group));
    Process process = new ProcessBuilder(command)
        .redirectError(ProcessBuilder.Redirect.INHERIT).start();
    List<String> held = new CopyOnWriteArrayList<>();
    Thread reader = thread(() -> process.inputReader(StandardCharsets.UTF_8).lines()
        .forEach(held::add));
    try {
      waitUntil(() -> held.size() >= count, 40, "a consumer in another process to hold its messages");
    } finally {
      process.destroyForcibly().waitFor();
      reader.join();
    }
    return held;
  }
}

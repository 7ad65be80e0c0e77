// Scenarios of lite topics: tiny topics under one of type LITE, to which consumers subscribe by name.

import java.util.ArrayList;
import java.util.List;
import java.util.function.IntConsumer;
import org.apache.rocketmq.client.apis.consumer.LitePushConsumer;
import org.apache.rocketmq.client.apis.consumer.MessageListener;
import org.apache.rocketmq.client.apis.producer.Producer;

final class Lite extends Clients {
  private Lite() {}

  static void addTo(Tap tap) {
    tap.scenario("a lite push consumer gets what it subscribed to and a failed message again",
        Lite::push);
    tap.scenario("what no lite topic may be is refused", Lite::refused);
    tap.alone("the leader is killed while lite consumers work", Lite::leaderKilled);
  }

  private static LitePushConsumer consumer(
      String topic, String group, MessageListener listener, List<String> liteTopics)
      throws Exception {
    LitePushConsumer consumer = started(
        PROVIDER.newLitePushConsumerBuilder().bindTopic(topic)
            .setClientConfiguration(configuration(true)).setConsumerGroup(group)
            .setMessageListener(listener).build());
    for (String name : liteTopics) {
      consumer.subscribeLite(name);
    }
    return consumer;
  }

  /** To each lite topic `count` messages; what fails after the client's own retries is sent again. */
  private static List<String> send(
      Producer producer, String topic, String liteTopic, int count, IntConsumer at)
      throws Exception {
    List<String> bodies = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      at.accept(i);
      String body = liteTopic + "-" + i;
      waitUntil(() -> {
        try {
          producer.send(message(topic, body).setLiteTopic(liteTopic).build());
          return true;
        } catch (Exception again) {
          return false;
        }
      }, 30, body + " to be sent");
      bodies.add(body);
    }
    return bodies;
  }

  private static String push() throws Exception {
    String topic = newTopic("lite", "LITE");
    Producer producer = producer(topic);
    Listener listener = new Listener((body, times) -> body.equals("chat-a-1") && times == 1);
    LitePushConsumer consumer = consumer(topic, newGroup(), listener, List.of("chat-a", "chat-b"));
    List<String> mine = send(producer, topic, "chat-a", 3, i -> {});
    mine.addAll(send(producer, topic, "chat-b", 3, i -> {}));
    send(producer, topic, "chat-c", 3, i -> {});
    waitUntil(() -> listener.attempts.size() == mine.size(), 30, "its messages");
    waitUntil(() -> listener.attempts.get("chat-a-1").size() == 2, 30, "the failed one again");
    checkComplete(mine, listener.attempts.keySet());
    consumer.subscribeLite("chat-c");
    waitUntil(() -> listener.attempts.size() == 9, 30, "those of the third lite topic");
    consumer.unsubscribeLite("chat-a");
    checkEqual(consumer.getLiteTopicSet().size(), 2, "lite topics");
    return null;
  }

  private static String refused() throws Exception {
    String topic = newTopic("lite", "LITE");
    Producer producer = producer(topic);
    checkRefused(() -> producer.send(message(topic, "x").setLiteTopic("a b").build()), "40020",
        "a lite topic with a blank in its name");
    return null;
  }

  private static String leaderKilled() throws Exception {
    String topic = newTopic("lite-kill", "LITE");
    Producer producer = producer(topic);
    Listener listener = new Listener();
    List<String> names = List.of("chat-0", "chat-1", "chat-2");
    consumer(topic, newGroup(), listener, names);
    List<String> bodies = new ArrayList<>();
    for (String name : names) {
      IntConsumer at = name.equals("chat-1") ? killLeaderAt(10, () -> true) : i -> {};
      bodies.addAll(send(producer, topic, name, 50, at));
    }
    waitUntil(() -> listener.attempts.size() >= bodies.size(), 60, "all to be pushed");
    checkComplete(bodies, listener.attempts.keySet());
    return null;
  }
}

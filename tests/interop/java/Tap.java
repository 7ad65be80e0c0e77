// Runs scenarios and prints TAP: first those that leave the cluster alone, several at a time, then one by
// one those that kill or restart its members.

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;

final class Tap {
  private static final int AT_A_TIME = 6; // they mostly wait

  interface Scenario {
    String run() throws Exception; // a note for the report, or null
  }

  private final Map<String, Scenario> together = new LinkedHashMap<>();
  private final Map<String, Scenario> alone = new LinkedHashMap<>();
  private final Pattern only =
      Pattern.compile(System.getenv().getOrDefault("RAFTMQ_ONLY", ""));
  private int number = 0;
  private int failed = 0;

  void scenario(String name, Scenario scenario) {
    if (only.matcher(name).find()) {
      together.put(name, scenario);
    }
  }

  void alone(String name, Scenario scenario) {
    if (only.matcher(name).find()) {
      alone.put(name, () -> {
        Clients.heal();
        return scenario.run();
      });
    }
  }

  /** Returns how many failed. */
  int run() throws InterruptedException {
    System.out.println("TAP version 13\n1.." + (together.size() + alone.size()));
    ExecutorService pool = Executors.newFixedThreadPool(AT_A_TIME);
    together.forEach((name, scenario) -> pool.execute(() -> run(name, scenario)));
    pool.shutdown();
    pool.awaitTermination(1, TimeUnit.HOURS); // each has its own limits
    alone.forEach(this::run);
    return failed;
  }

  private void run(String name, Scenario scenario) {
    String note = null;
    Throwable failure = null;
    try {
      note = scenario.run();
    } catch (Throwable error) {
      failure = error;
    }
    report(name, note, failure);
    try {
      Clients.stopClients();
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  private synchronized void report(String name, String note, Throwable failure) {
    number++;
    if (failure == null) {
      System.out.println("ok " + number + " - " + name + (note == null ? "" : "\n# " + note));
      return;
    }
    failed++;
    StringBuilder text = new StringBuilder("not ok " + number + " - " + name + "\n  ---\n  " + failure);
    for (Throwable t = failure.getCause(); t != null; t = t.getCause()) {
      text.append("\n  because: ").append(t);
    }
    System.out.println(text + "\n  ...");
  }
}

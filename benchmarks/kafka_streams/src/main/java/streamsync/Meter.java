package streamsync;

import java.util.concurrent.atomic.AtomicLong;

/** Counts events over all threads and tells when the warm-up and the run are over. */
final class Meter {
  private final AtomicLong count = new AtomicLong();
  private final long warm;
  private final long total;

  Meter(long warm, long total) {
    this.warm = warm;
    this.total = total;
  }

  void add() {
    long now = count.incrementAndGet();
    if (now == warm) {
      mark("start");
    }
    if (now == total) {
      mark("end");
    }
  }

  static void mark(String name) {
    System.out.println("MARK " + name);
    System.out.flush();
  }
}

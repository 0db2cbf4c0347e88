package streamsync;

import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.avro.Schema;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.state.Stores;

/** Workload W on Kafka Streams: RocksDB, caching and logging on, exactly-once v2. */
public final class KafkaStreamsPeer {
  private KafkaStreamsPeer() {}

  /** Runs until a signal; marks when it is ready, warm and done. */
  public static void main(String[] arguments) {
    Map<String, String> told = new HashMap<>();
    for (String argument : arguments) {
      String[] parts = argument.split("=", 2);
      told.put(parts[0], parts[1]);
    }
    KafkaStreams streams = new KafkaStreams(topology(told), settings(told));
    streams.setUncaughtExceptionHandler(
        error -> {
          error.printStackTrace();
          return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
    streams.setStateListener(
        (now, before) -> {
          if (now == KafkaStreams.State.RUNNING) {
          Meter.mark("active 8");
          } else if (now == KafkaStreams.State.ERROR) {
            Runtime.getRuntime().halt(1);
          }
        });
    Runtime.getRuntime()
        .addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(30))));
    streams.start();
  }

  private static Topology topology(Map<String, String> told) {
    Schema events = new Schema.Parser().parse(told.get("--event-schema"));
    Schema postings = new Schema.Parser().parse(told.get("--posting-schema"));
    Meter meter =
        new Meter(Long.parseLong(told.get("--warm")), Long.parseLong(told.get("--total")));
    ByteArrayDeserializer in = new ByteArrayDeserializer();
    ByteArraySerializer out = new ByteArraySerializer();
    Topology topology = new Topology();
    topology.addSource("events", in, in, told.get("--source"));
    topology.addProcessor("post", () -> new Balances(events, postings, meter), "events");
    topology.addStateStore(
        Stores.keyValueStoreBuilder(
                Stores.persistentKeyValueStore(Balances.STORE),
                Serdes.ByteArray(),
                Serdes.ByteArray())
            .withCachingEnabled()
            .withLoggingEnabled(Map.of()),
        "post");
    topology.addSink("postings", told.get("--output"), out, out, "post");
    return topology;
  }

  private static Properties settings(Map<String, String> told) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, told.get("--run"));
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, told.get("--bootstrap-servers"));
    settings.put(StreamsConfig.STATE_DIR_CONFIG, told.get("--work-dir"));
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, told.get("--threads"));
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    // Longer than its default of 100 ms, which would cost it throughput.
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, "1000");
    settings.put("producer.compression.type", "lz4");
    settings.put("producer.linger.ms", "20");
    settings.put("producer.batch.size", "262144");
    settings.put("main.consumer.max.poll.records", "4000");
    settings.put("main.consumer.max.partition.fetch.bytes", "4194304");
    settings.put("main.consumer.fetch.max.wait.ms", "50");
    settings.put("main.consumer.session.timeout.ms", "6000");
    settings.put("main.consumer.heartbeat.interval.ms", "2000");
    settings.put("consumer.auto.offset.reset", "earliest");
    return settings;
  }
}

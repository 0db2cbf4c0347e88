package streamsync;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.util.Utf8;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * Workload W as a processor: the same logic as {@code workload.post}, to the byte.
 *
 * <p>Decoder, encoder and event are used again and again, as a careful programmer would.
 */
final class Balances implements Processor<byte[], byte[], byte[], byte[]> {
  static final String STORE = "balances";

  private static final Utf8 SALES = new Utf8("SALES");
  private static final Utf8 BANK = new Utf8("BANK");

  private final Schema postingSchema;
  private final GenericDatumReader<GenericRecord> reader;
  private final GenericDatumWriter<GenericRecord> writer;
  private final Meter meter;
  private final ByteArrayOutputStream bytes = new ByteArrayOutputStream(256);
  private ProcessorContext<byte[], byte[]> context;
  private KeyValueStore<byte[], byte[]> balances;
  private BinaryDecoder decoder;
  private BinaryEncoder encoder;
  private GenericRecord event;

  Balances(Schema eventSchema, Schema postingSchema, Meter meter) {
    this.postingSchema = postingSchema;
    this.reader = new GenericDatumReader<>(eventSchema);
    this.writer = new GenericDatumWriter<>(postingSchema);
    this.meter = meter;
  }

  @Override
  public void init(ProcessorContext<byte[], byte[]> given) {
    context = given;
    balances = given.getStateStore(STORE);
  }

  @Override
  public void process(Record<byte[], byte[]> record) {
    try {
      decoder = DecoderFactory.get().binaryDecoder(record.value(), decoder);
      event = reader.read(event, decoder);
      context.forward(record.withValue(encoded(post(record.key()))));
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    meter.add();
  }

  private GenericRecord post(byte[] key) {
    byte[] stored = balances.get(key);
    ByteBuffer state = ByteBuffer.allocate(32).order(ByteOrder.LITTLE_ENDIAN);
    if (stored != null) {
      state.put(stored);
    }
    long invoiced = state.getLong(0);
    long paid = state.getLong(8);
    long deferred = state.getLong(16);
    long count = state.getLong(24) + 1;
    long amount = (Long) event.get("amount_minor");
    long debit = 0;
    long credit = 0;
    long change = 0;
    Utf8 journal;
    switch (event.get("kind").toString()) {
      case "INVOICE" -> {
        change = amount - (Long) event.get("tax_minor");
        invoiced += amount;
        deferred += change;
        debit = amount;
        journal = SALES;
      }
      case "PAYMENT" -> {
        change = -Math.min(deferred, amount);
        paid += amount;
        deferred += change;
        credit = amount;
        journal = BANK;
      }
      case "CREDIT_NOTE" -> {
        change = -Math.min(deferred, amount);
        invoiced -= amount;
        deferred += change;
        credit = amount;
        journal = SALES;
      }
      default -> {
        paid -= amount;
        debit = amount;
        journal = BANK;
      }
    }
    state.putLong(0, invoiced).putLong(8, paid).putLong(16, deferred).putLong(24, count);
    balances.put(key, state.array());
    GenericRecord posting = new GenericData.Record(postingSchema);
    posting.put(0, event.get("event_id"));
    posting.put(1, event.get("subscription_id"));
    posting.put(2, event.get("customer_id"));
    posting.put(3, journal);
    posting.put(4, event.get("currency"));
    posting.put(5, debit);
    posting.put(6, credit);
    posting.put(7, change);
    posting.put(8, event.get("event_time"));
    posting.put(9, count);
    return posting;
  }

  private byte[] encoded(GenericRecord posting) throws IOException {
    bytes.reset();
    encoder = EncoderFactory.get().binaryEncoder(bytes, encoder);
    writer.write(posting, encoder);
    encoder.flush();
    return bytes.toByteArray();
  }
}

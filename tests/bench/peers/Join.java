import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The join on Kafka Streams: a store by report, and a cancel event forwards and removes the stored
 * run. Arguments: broker, input, output, state folder, application id, threads.
 */
public final class Join {
  private static final String STORE = "runs";
  private static final ObjectMapper JSON = new ObjectMapper();

  private static final class Matcher implements Processor<String, byte[], String, byte[]> {
    private ProcessorContext<String, byte[]> context;
    private KeyValueStore<String, byte[]> runs;

    @Override
    public void init(ProcessorContext<String, byte[]> context) {
      this.context = context;
      this.runs = context.getStateStore(STORE);
    }

    @Override
    public void process(Record<String, byte[]> record) {
      JsonNode event = parse(record.value());
      if (event.get("name").asText().equals("report/generation.requested")) {
        runs.put(record.key(), runOf(event));
        return;
      }
      byte[] run = runs.delete(record.key());
      if (run != null) {
        context.forward(record.withValue(run));
      }
    }
  }

  private static byte[] runOf(JsonNode event) {
    ObjectNode run = JSON.createObjectNode();
    run.set("run_id", event.get("id"));
    run.put("function", "generate-report");
    run.set("event", event);
    try {
      return JSON.writeValueAsBytes(run);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  private static JsonNode parse(byte[] value) {
    try {
      return JSON.readTree(value);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  public static void main(String[] arguments) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[3]);
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[4]);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, arguments[5]);
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, "1");
    settings.put("auto.offset.reset", "earliest");
    Serde<String> text = Serdes.String();
    Serde<byte[]> bytes = Serdes.ByteArray();
    StreamsBuilder builder = new StreamsBuilder();
    builder.addStateStore(
        Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(STORE), text, bytes));
    builder.stream(arguments[1], Consumed.with(text, bytes))
        .selectKey((key, value) -> parse(value).get("data").get("reportId").asText())
        .repartition(Repartitioned.with(text, bytes).withName("by-report"))
        .process(Matcher::new, STORE)
        .to(arguments[2], Produced.with(text, bytes));
    KafkaStreams streams = new KafkaStreams(builder.build(), settings);
    Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
    streams.start();
  }
}

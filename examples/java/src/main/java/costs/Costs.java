package costs;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.Struct;
import com.google.protobuf.Value;
import com.google.protobuf.util.Durations;
import com.google.protobuf.util.JsonFormat;
import com.google.protobuf.util.Timestamps;
import com.google.rpc.BadRequest;
import com.google.rpc.Code;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import com.google.rpc.Status;
import costinsights.v1.Cost;
import costinsights.v1.EventServiceGrpc;
import costinsights.v1.GetMetricsRequest;
import costinsights.v1.GroupBy;
import costinsights.v1.IngestEventsRequest;
import costinsights.v1.Interval;
import costinsights.v1.Llm;
import costinsights.v1.MetricsServiceGrpc;
import costinsights.v1.NewEvent;
import costinsights.v1.RevenueServiceGrpc;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.PrototypeMarshaller;
import io.grpc.ServiceDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.ClientCalls;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.text.ParseException;
import java.util.List;
import java.util.stream.Stream;

/** Sends events to Cost Insights and asks what they cost. */
final class Costs {
  private static final String USAGE =
      """
      costs ingest               sends two events
      costs stream ID            sends a thousand events as a stream, and goes on where it broke
      costs metrics START END    shows the costs of each customer from a day to another
      costs call METHOD FILE...  sends requests in JSON, each to its method, and shows the answers""";

  private Costs() {}

  public static void main(String[] arguments) throws Exception {
    System.exit(run(List.of(arguments)));
  }

  private static int run(List<String> arguments) throws Exception {
    var command = arguments.isEmpty() ? "" : arguments.get(0);
    try (var connection = new Connection()) {
      var channel = connection.channel();
      var count = arguments.size();
      if (command.equals("ingest") && count == 1) {
        ingest(channel);
      } else if (command.equals("stream") && count == 2) {
        new ResumableStream(channel, arguments.get(1)).send();
      } else if (command.equals("metrics") && count == 3) {
        metrics(channel, arguments.get(1), arguments.get(2));
      } else if (command.equals("call") && count >= 3 && count % 2 == 1) {
        for (int i = 1; i < count; i += 2) {
          call(channel, arguments.get(i), Path.of(arguments.get(i + 1)));
        }
      } else {
        System.err.println(USAGE);
        return 2;
      }
      return 0;
    } catch (StatusRuntimeException error) {
      show(StatusProto.fromThrowable(error));
      return 1;
    }
  }

  /** Sends two events. Their external ids make it safe to send them again: each counts once. */
  private static void ingest(Channel channel) throws ParseException {
    var metadata =
        Struct.newBuilder()
            .putFields("region", Value.newBuilder().setStringValue("eu").build())
            .putFields("attempts", Value.newBuilder().setNumberValue(2).build())
            .putFields("cached", Value.newBuilder().setBoolValue(true).build());
    var request =
        IngestEventsRequest.newBuilder()
            .addEvents(
                NewEvent.newBuilder()
                    .setName("llm.inference")
                    .setExternalCustomerId("user_123")
                    .setExternalId("example-1")
                    .setTimestamp(Timestamps.parse("2026-11-23T12:00:00.250Z"))
                    .setCost(Cost.newBuilder().setAmount("0.025").setCurrency("usd"))
                    .setLlm(
                        Llm.newBuilder()
                            .setVendor("openai")
                            .setModel("gpt-4")
                            .setInputTokens(57)
                            .setOutputTokens(123))
                    .setMetadata(metadata))
            .addEvents(
                NewEvent.newBuilder()
                    .setName("email.sent")
                    .setExternalCustomerId("user_456")
                    .setExternalId("example-2")
                    .setTimestamp(Timestamps.parse("2026-11-23T12:00:01Z"))
                    .setCost(Cost.newBuilder().setAmount("0.0001").setCurrency("usd")))
            .build();
    var answer = EventServiceGrpc.newBlockingStub(channel).ingestEvents(request);
    System.out.printf(
        "inserted %d, duplicates %d, conflicts %d%n",
        answer.getInserted(), answer.getDuplicates(), answer.getConflictsCount());
  }

  /** Shows the costs of each customer in a span of days. */
  private static void metrics(Channel channel, String start, String end) {
    var request =
        GetMetricsRequest.newBuilder()
            .setStartDate(start)
            .setEndDate(end)
            .setInterval(Interval.INTERVAL_MONTH)
            .addMetrics("costs")
            .setGroupBy(GroupBy.GROUP_BY_CUSTOMER)
            .setGroupsMax(20)
            .build();
    var answer = MetricsServiceGrpc.newBlockingStub(channel).getMetrics(request);
    for (var group : answer.getGroupsList()) {
      var name = group.getOthers() ? "others" : group.getValue();
      System.out.println(name + ": " + group.getTotals().getCosts());
    }
    System.out.println("all: " + answer.getTotals().getCosts());
  }

  /** Sends a request in JSON to any RPC with one request and one answer. */
  private static void call(Channel channel, String name, Path file) throws IOException {
    var method = methodOf(name);
    var marshaller = (PrototypeMarshaller<Message>) method.getRequestMarshaller();
    var request = marshaller.getMessagePrototype().newBuilderForType();
    JsonFormat.parser().merge(Files.readString(file), request);
    var answer =
        ClientCalls.blockingUnaryCall(channel, method, CallOptions.DEFAULT, request.build());
    System.out.println(JsonFormat.printer().omittingInsignificantWhitespace().print(answer));
  }

  /** A method such as cost_insights.v1.EventService/IngestEvents. */
  @SuppressWarnings("unchecked") // What is called and answered with are messages.
  private static MethodDescriptor<Message, Message> methodOf(String name) {
    return (MethodDescriptor<Message, Message>)
        Stream.of(
                EventServiceGrpc.getServiceDescriptor(),
                MetricsServiceGrpc.getServiceDescriptor(),
                RevenueServiceGrpc.getServiceDescriptor())
            .map(ServiceDescriptor::getMethods)
            .flatMap(methods -> methods.stream())
            .filter(method -> method.getFullMethodName().equals(name))
            .findAny()
            .orElseThrow(() -> new IllegalArgumentException("there is no method " + name));
  }

  /** Prints what an error says: the code, why, which fields are wrong, and when to try again. */
  private static void show(Status status) throws InvalidProtocolBufferException {
    System.out.println(Code.forNumber(status.getCode()) + ": " + status.getMessage());
    for (var detail : status.getDetailsList()) {
      if (detail.is(ErrorInfo.class)) {
        System.out.println("reason " + detail.unpack(ErrorInfo.class).getReason());
      } else if (detail.is(BadRequest.class)) {
        for (var fault : detail.unpack(BadRequest.class).getFieldViolationsList()) {
          System.out.println("fault " + fault.getField() + ": " + fault.getDescription());
        }
      } else if (detail.is(RetryInfo.class)) {
        var delay = detail.unpack(RetryInfo.class).getRetryDelay();
        System.out.println("retry after " + Durations.toMillis(delay) + " ms");
      }
    }
  }
}

package costs;

import com.google.protobuf.util.Timestamps;
import costinsights.v1.Cost;
import costinsights.v1.EventServiceGrpc;
import costinsights.v1.IngestEventsRequest;
import costinsights.v1.NewEvent;
import costinsights.v1.StreamEventsRequest;
import costinsights.v1.StreamEventsResponse;
import io.grpc.Channel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.time.Instant;
import java.util.EnumSet;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/** A stream of batches that goes on where it broke. */
final class ResumableStream {
  private static final long BATCHES = 20;
  private static final long EVENTS_PER_BATCH = 50;
  private static final int ATTEMPTS_MAX = 10;
  private static final Set<Status.Code> PASSING =
      EnumSet.of(Status.Code.UNAVAILABLE, Status.Code.RESOURCE_EXHAUSTED);
  private static final Instant START = Instant.parse("2026-11-15T12:00:00Z");

  private final Channel channel;
  private final String streamId;
  private long acknowledged;
  private long events;

  ResumableStream(Channel channel, String streamId) {
    this.channel = channel;
    this.streamId = streamId;
  }

  /**
   * Sends all batches.
   *
   * <p>When the connection breaks or the service has too much to do, another stream sends those
   * that were not acknowledged again, under the same id and with the same sequences: each event
   * counts once, though a batch may have been stored whose acknowledgement was lost.
   */
  void send() throws InterruptedException {
    for (int attempt = 1; ; attempt++) {
      try {
        sendOnce();
        break;
      } catch (StatusRuntimeException error) {
        if (!PASSING.contains(error.getStatus().getCode()) || attempt == ATTEMPTS_MAX) {
          throw error;
        }
        System.err.printf(
            "the stream broke after batch %d: %s%n", acknowledged, error.getMessage());
        Thread.sleep(100);
      }
    }
    System.out.printf("acknowledged %d batches of %d events%n", acknowledged, events);
  }

  /** Sends what is not acknowledged, and waits for the acknowledgements. */
  private void sendOnce() throws InterruptedException {
    var done = new CompletableFuture<Void>();
    EventServiceGrpc.newStub(channel).streamEvents(new Exchange(done));
    try {
      done.get();
    } catch (ExecutionException error) {
      throw Status.fromThrowable(error.getCause())
          .asRuntimeException(Status.trailersFromThrowable(error.getCause()));
    }
  }

  /** Sends batches as fast as they are taken, and counts acknowledgements as they come. */
  private final class Exchange
      implements ClientResponseObserver<StreamEventsRequest, StreamEventsResponse> {
    private final CompletableFuture<Void> done;
    private long next = acknowledged + 1;
    private ClientCallStreamObserver<StreamEventsRequest> requests;

    Exchange(CompletableFuture<Void> done) {
      this.done = done;
    }

    @Override
    public void beforeStart(ClientCallStreamObserver<StreamEventsRequest> requests) {
      this.requests = requests;
      // What is sent faster than it is taken would be kept in memory.
      requests.setOnReadyHandler(this::sendWhileReady);
    }

    private void sendWhileReady() {
      while (requests.isReady() && next <= BATCHES) {
        requests.onNext(
            StreamEventsRequest.newBuilder()
                .setStreamId(streamId)
                .setSequence(next)
                .setBatch(batch(next))
                .build());
        if (next++ == BATCHES) {
          requests.onCompleted();
        }
      }
    }

    @Override
    public void onNext(StreamEventsResponse answer) {
      if (answer.hasError()) {
        var refused = StatusProto.toStatusRuntimeException(answer.getError());
        done.completeExceptionally(refused);
        requests.cancel("a batch was refused", refused);
        return;
      }
      acknowledged = answer.getSequence();
      events += answer.getBatch().getInserted() + answer.getBatch().getDuplicates();
    }

    @Override
    public void onError(Throwable error) {
      done.completeExceptionally(error);
    }

    @Override
    public void onCompleted() {
      done.complete(null);
    }
  }

  /** The events of a batch. A batch that is sent again must be the same. */
  private static IngestEventsRequest batch(long sequence) {
    var batch = IngestEventsRequest.newBuilder();
    var first = (sequence - 1) * EVENTS_PER_BATCH;
    for (var number = first; number < first + EVENTS_PER_BATCH; number++) {
      batch.addEvents(
          NewEvent.newBuilder()
              .setName("llm.inference")
              .setExternalCustomerId("user_" + number % 4)
              .setTimestamp(Timestamps.fromSeconds(START.getEpochSecond() + number))
              .setCost(
                  Cost.newBuilder().setAmount("0.%04d".formatted(number)).setCurrency("usd")));
    }
    return batch.build();
  }
}

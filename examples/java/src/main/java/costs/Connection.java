package costs;

import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.ClientInterceptors;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import java.io.IOException;
import java.util.concurrent.TimeUnit;

/**
 * The connection that the environment describes.
 *
 * <ul>
 *   <li>COST_INSIGHTS_GRPC_ADDRESS: HOST:PORT; 127.0.0.1:50051 unless set
 *   <li>COST_INSIGHTS_TOKEN: the access token, if the service wants one
 *   <li>COST_INSIGHTS_TLS: true for TLS with the authorities of the system
 *   <li>COST_INSIGHTS_CA: a file of authorities, for TLS with these
 * </ul>
 */
final class Connection implements AutoCloseable {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  private final ManagedChannel channel;
  private final Channel withToken;

  Connection() throws IOException {
    var address = setting("COST_INSIGHTS_GRPC_ADDRESS");
    channel =
        Grpc.newChannelBuilder(address.isEmpty() ? "127.0.0.1:50051" : address, credentials())
            .build();
    var headers = new Metadata();
    var token = setting("COST_INSIGHTS_TOKEN");
    if (!token.isEmpty()) {
      headers.put(AUTHORIZATION, "Bearer " + token);
    }
    withToken =
        ClientInterceptors.intercept(
            channel, MetadataUtils.newAttachHeadersInterceptor(headers));
  }

  /** What calls are made with; it sends the access token with each. */
  Channel channel() {
    return withToken;
  }

  @Override
  public void close() {
    channel.shutdownNow();
    try {
      channel.awaitTermination(5, TimeUnit.SECONDS);
    } catch (InterruptedException interruption) {
      Thread.currentThread().interrupt();
    }
  }

  private static ChannelCredentials credentials() throws IOException {
    var authorities = setting("COST_INSIGHTS_CA");
    if (!authorities.isEmpty()) {
      return TlsChannelCredentials.newBuilder().trustManager(new File(authorities)).build();
    }
    return setting("COST_INSIGHTS_TLS").equals("true")
        ? TlsChannelCredentials.create()
        : InsecureChannelCredentials.create();
  }

  private static String setting(String name) {
    return System.getenv().getOrDefault(name, "");
  }
}

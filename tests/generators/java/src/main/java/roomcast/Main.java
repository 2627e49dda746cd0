package roomcast;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.WebSocket;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import roomcast.client.ApiClient;
import roomcast.client.ApiException;
import roomcast.client.JSON;
import roomcast.client.api.CountsApi;
import roomcast.client.api.MessagesApi;
import roomcast.client.api.RoomsApi;
import roomcast.client.model.CommandId;
import roomcast.client.model.ErrorEvent;
import roomcast.client.model.Join;
import roomcast.client.model.Joined;
import roomcast.client.model.Message;
import roomcast.client.model.Problem;
import roomcast.client.model.Publish;
import roomcast.client.model.PublishBody;
import roomcast.client.model.WebSocketCommand;
import roomcast.client.model.WebSocketEvent;
import roomcast.client.model.Welcome;

/** A Java program on a client that openapi-generator wrote, against a live node: REST, typed problems, every kind of event. */
public final class Main {
  private static final String ADDRESS = System.getenv("ROOMCAST_ADDRESS");
  private static final String ROOM = "chat:java";
  private static final ObjectMapper MAPPER = JSON.getDefault().getMapper();
  private static final HttpClient HTTP = HttpClient.newHttpClient();

  public static void main(String[] arguments) throws Exception {
    ApiClient client = clientOf(System.getenv("ROOMCAST_API_KEY"));
    askRest(client);
    readProblems(client);
    talk(client);
    System.out.printf("java: %d kinds of events%n", decodeExamples());
  }

  private static ApiClient clientOf(String key) {
    ApiClient client = new ApiClient();
    client.updateBaseUri(ADDRESS);
    client.setRequestInterceptor(request -> request.header("Authorization", "Bearer " + key));
    return client;
  }

  private static void askRest(ApiClient client) throws Exception {
    check(new CountsApi(client).getCounts().getConnections() >= 0, "counts");
    MessagesApi messages = new MessagesApi(client);
    check(messages.publishMessage(ROOM, new PublishBody().name("said").data("hello")).getPosition() != null, "position");
    check(!messages.listMessages(ROOM, null, null, 10).getMessages().isEmpty(), "messages");
  }

  private static void readProblems(ApiClient client) throws Exception {
    try {
      new RoomsApi(client).getRoom("never-seen");
      check(false, "a room that never was");
    } catch (ApiException refused) {
      Problem problem = MAPPER.readValue(refused.getResponseBody(), Problem.class);
      check(problem.getType().equals("urn:roomcast:error:not_found"), problem);
    }
    try {
      new CountsApi(clientOf("rck_none")).getCounts();
      check(false, "a key that never was");
    } catch (ApiException refused) {
      check(MAPPER.readValue(refused.getResponseBody(), Problem.class).getStatus() == 401, refused);
    }
  }

  /** One user joins a room over a socket, hears what REST publishes, and is told of a wrong command. */
  private static void talk(ApiClient client) throws Exception {
    Events events = new Events();
    WebSocket socket =
        HTTP.newWebSocketBuilder()
            .subprotocols("roomcast.v1.json", "roomcast.token." + System.getenv("ROOMCAST_TOKEN"))
            .buildAsync(URI.create(ADDRESS.replaceFirst("http", "ws") + "/v1/connect"), events)
            .join();
    check(events.next(Welcome.class).getVersion() == 1, "version");
    Join join = new Join().type(Join.TypeEnum.JOIN).id(new CommandId("first")).room(ROOM);
    socket.sendText(MAPPER.writeValueAsString(new WebSocketCommand(join)), true).join();
    check(events.next(Joined.class).getOccupancy().getConnections() == 1, "occupancy");
    new MessagesApi(client).publishMessage(ROOM, new PublishBody().data(Map.of("text", "live")));
    Message message = events.next(Message.class);
    check(message.getOffset() != null && message.getFrom() == null, message);
    Publish wrong = new Publish().type(Publish.TypeEnum.PUBLISH).room("two words").data(1);
    socket.sendText(MAPPER.writeValueAsString(new WebSocketCommand(wrong)), true).join();
    check(events.next(ErrorEvent.class).getCode() == ErrorEvent.CodeEnum.INVALID, "code");
    socket.abort();
  }

  /** Decodes every event that the node's AsyncAPI document shows: how many kinds there are. */
  private static int decodeExamples() throws Exception {
    HttpRequest request = HttpRequest.newBuilder(URI.create(ADDRESS + "/schema/asyncapi.json")).build();
    JsonNode document = MAPPER.readTree(HTTP.send(request, HttpResponse.BodyHandlers.ofString()).body());
    int kinds = 0;
    for (Map.Entry<String, JsonNode> named : document.at("/components/messages").properties()) {
      JsonNode message = named.getValue();
      if (message.at("/tags/0/name").asText().equals("commands")) {
        continue;
      }
      for (JsonNode example : message.get("examples")) {
        Object event = MAPPER.treeToValue(example.get("payload"), WebSocketEvent.class).getActualInstance();
        check(event.getClass().getSimpleName().equals(named.getKey()), event);
      }
      kinds++;
    }
    return kinds;
  }

  private static void check(boolean holds, Object about) {
    if (!holds) {
      throw new IllegalStateException(String.valueOf(about));
    }
  }

  /** What a socket gets, decoded. */
  private static final class Events implements WebSocket.Listener {
    private final BlockingQueue<Object> found = new LinkedBlockingQueue<>();
    private final StringBuilder text = new StringBuilder();

    @Override
    public CompletionStage<?> onText(WebSocket socket, CharSequence part, boolean isLast) {
      text.append(part);
      if (isLast) {
        try {
          found.add(MAPPER.readValue(text.toString(), WebSocketEvent.class).getActualInstance());
        } catch (Exception error) {
          found.add(error);
        }
        text.setLength(0);
      }
      socket.request(1);
      return null;
    }

    <Event> Event next(Class<Event> kind) throws InterruptedException {
      Object event = found.poll(10, TimeUnit.SECONDS);
      check(kind.isInstance(event), event);
      return kind.cast(event);
    }
  }
}

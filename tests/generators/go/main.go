// A Go program on a client that oapi-codegen wrote, against a live node: REST, typed problems, every kind of event.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/coder/websocket"

	"roomcast.example/generators/roomcast"
)

const room = "chat:go"

func main() {
	log.SetFlags(0)
	context, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	address := os.Getenv("ROOMCAST_ADDRESS")
	client, err := roomcast.NewClientWithResponses(address, roomcast.WithRequestEditorFn(bearer(os.Getenv("ROOMCAST_API_KEY"))))
	must(err)
	askRest(context, client)
	readProblems(context, client, address)
	talk(context, client, address)
	fmt.Printf("go: %d kinds of events\n", decodeExamples(address))
}

func bearer(token string) roomcast.RequestEditorFn {
	return func(_ context.Context, request *http.Request) error {
		request.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
}

func askRest(context context.Context, client *roomcast.ClientWithResponses) {
	counts, err := client.GetCountsWithResponse(context)
	must(err)
	check(counts.JSON200 != nil, "counts: %s", counts.Body)
	name := "said"
	published, err := client.PublishMessageWithResponse(context, room, roomcast.PublishBody{Name: &name, Data: "hello"})
	must(err)
	check(published.JSON201 != nil && published.JSON201.Position != nil, "published: %s", published.Body)
	page, err := client.ListMessagesWithResponse(context, room, &roomcast.ListMessagesParams{})
	must(err)
	check(page.JSON200 != nil && len(page.JSON200.Messages) > 0, "messages: %s", page.Body)
}

func readProblems(context context.Context, client *roomcast.ClientWithResponses, address string) {
	gone, err := client.GetRoomWithResponse(context, "never-seen")
	must(err)
	check(gone.ApplicationproblemJSON404 != nil, "no typed problem: %s", gone.Body)
	check(gone.ApplicationproblemJSON404.Type == "urn:roomcast:error:not_found", "%+v", gone.ApplicationproblemJSON404)
	stranger, err := roomcast.NewClientWithResponses(address, roomcast.WithRequestEditorFn(bearer("rck_none")))
	must(err)
	refused, err := stranger.GetCountsWithResponse(context)
	must(err)
	check(refused.ApplicationproblemJSON401 != nil, "no typed problem: %s", refused.Body)
	check(refused.ApplicationproblemJSON401.Status == 401, "%+v", refused.ApplicationproblemJSON401)
}

// talk has one user join a room over a socket, hear what REST publishes, and be told of a wrong command.
func talk(context context.Context, client *roomcast.ClientWithResponses, address string) {
	url := strings.Replace(address, "http", "ws", 1) + "/v1/connect"
	token := "roomcast.token." + os.Getenv("ROOMCAST_TOKEN")
	socket, _, err := websocket.Dial(context, url, &websocket.DialOptions{Subprotocols: []string{"roomcast.v1.json", token}})
	must(err)
	defer socket.CloseNow()
	expect[roomcast.Welcome](context, socket)

	var id roomcast.CommandId
	must(id.FromCommandId1(1))
	var command roomcast.WebSocketCommand
	must(command.FromJoin(roomcast.Join{Id: &id, Room: room}))
	send(context, socket, command)
	joined := expect[roomcast.Joined](context, socket)
	check(joined.Occupancy.Connections == 1, "%+v", joined)

	_, err = client.PublishMessageWithResponse(context, room, roomcast.PublishBody{Data: map[string]any{"text": "live"}})
	must(err)
	message := expect[roomcast.Message](context, socket)
	check(message.Room == room && message.Offset != nil && message.From == nil, "%+v", message)

	must(command.FromPublish(roomcast.Publish{Room: "two words"}))
	send(context, socket, command)
	refused := expect[roomcast.ErrorEvent](context, socket)
	check(refused.Code == "invalid" && refused.Path != nil, "%+v", refused)
}

func send(context context.Context, socket *websocket.Conn, command roomcast.WebSocketCommand) {
	text, err := json.Marshal(command)
	must(err)
	must(socket.Write(context, websocket.MessageText, text))
}

func expect[Event any](context context.Context, socket *websocket.Conn) Event {
	_, text, err := socket.Read(context)
	must(err)
	found, is := decode(text).(Event)
	check(is, "not what was expected: %s", text)
	return found
}

func decode(text []byte) any {
	var event roomcast.WebSocketEvent
	must(json.Unmarshal(text, &event))
	value, err := event.ValueByDiscriminator()
	must(err)
	return value
}

// decodeExamples decodes every event that the node's AsyncAPI document shows: how many kinds there are.
func decodeExamples(address string) int {
	answer, err := http.Get(address + "/schema/asyncapi.json")
	must(err)
	defer answer.Body.Close()
	var document struct {
		Components struct {
			Messages map[string]struct {
				Tags     []struct{ Name string }
				Examples []struct{ Payload json.RawMessage }
			}
		}
	}
	must(json.NewDecoder(answer.Body).Decode(&document))
	kinds := 0
	for name, message := range document.Components.Messages {
		if message.Tags[0].Name == "commands" {
			continue
		}
		for _, example := range message.Examples {
			found := reflect.TypeOf(decode(example.Payload)).Name()
			check(found == name, "%s was decoded as %s", name, found)
		}
		kinds++
	}
	return kinds
}

func check(holds bool, format string, values ...any) {
	if !holds {
		log.Fatalf(format, values...)
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

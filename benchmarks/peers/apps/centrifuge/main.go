// A server on the Centrifuge library, the engine of Centrifugo; every command is allowed.
// usage: centrifuge-peer [-address HOST:PORT] [-redis HOST:PORT] [-history N] [-write-delay D] [-jwt SECRET]
package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/golang-jwt/jwt/v5"
)

var (
	address    = flag.String("address", "127.0.0.1:8123", "where to listen; WebSocket at /connection/websocket")
	redis      = flag.String("redis", "", "Redis; empty means the memory broker")
	history    = flag.Int("history", 0, "messages kept per channel, five minutes")
	writeDelay = flag.Duration("write-delay", 0, "ConnectReply.WriteDelay: so long a write may wait for more")
	secret     = flag.String("jwt", "", "check each connect's token under this HS256 secret; empty means anonymous")
)

// connecting lets a client in, as Centrifugo does: its token's signature, expiry and subject are checked.
func connecting(_ context.Context, event centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
	reply := centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{}, WriteDelay: *writeDelay}
	if *writeDelay > 0 { // its advice for many messages: no bound on a frame, and timers in place of goroutines
		reply.MaxMessagesInFrame, reply.WriteWithTimer = -1, true
	}
	if *secret == "" {
		return reply, nil
	}
	claims := jwt.RegisteredClaims{}
	key := func(*jwt.Token) (any, error) { return []byte(*secret), nil }
	_, err := jwt.ParseWithClaims(event.Token, &claims, key, jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired())
	if err != nil {
		return centrifuge.ConnectReply{}, centrifuge.DisconnectInvalidToken
	}
	reply.Credentials = &centrifuge.Credentials{UserID: claims.Subject, ExpireAt: claims.ExpiresAt.Unix()}
	return reply, nil
}

func connected(client *centrifuge.Client) {
	client.OnSubscribe(func(_ centrifuge.SubscribeEvent, done centrifuge.SubscribeCallback) {
		done(centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{EnableRecovery: *history > 0}}, nil)
	})
	client.OnPublish(func(_ centrifuge.PublishEvent, done centrifuge.PublishCallback) {
		options := centrifuge.PublishOptions{HistorySize: *history, HistoryTTL: 5 * time.Minute}
		done(centrifuge.PublishReply{Options: options}, nil)
	})
}

func useRedis(node *centrifuge.Node) error {
	shard, err := centrifuge.NewRedisShard(node, centrifuge.RedisShardConfig{Address: *redis})
	if err != nil {
		return err
	}
	broker, err := centrifuge.NewRedisBroker(node, centrifuge.RedisBrokerConfig{Shards: []*centrifuge.RedisShard{shard}})
	if err != nil {
		return err
	}
	node.SetBroker(broker)
	return nil
}

func main() {
	flag.Parse()
	node, err := centrifuge.New(centrifuge.Config{LogLevel: centrifuge.LogLevelError})
	if err != nil {
		log.Fatal(err)
	}
	if *redis != "" {
		if err := useRedis(node); err != nil {
			log.Fatal(err)
		}
	}
	node.OnConnecting(connecting)
	node.OnConnect(connected)
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}
	anyOrigin := func(*http.Request) bool { return true }
	http.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{CheckOrigin: anyOrigin}))
	log.Fatal(http.ListenAndServe(*address, nil))
}

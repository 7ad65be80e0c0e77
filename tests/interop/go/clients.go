package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
	"github.com/apache/rocketmq-clients/golang/v5/credentials"
)

var counter int

func unique(name string) string {
	counter++
	return fmt.Sprintf("%s-go-%x-%d", name, time.Now().UnixMilli()&0xffffff, counter)
}

// The client's own default: TLS that verifies nothing, all members as one access point.
func config(group string) *rmq.Config {
	return &rmq.Config{
		Endpoint:      status().AccessPoints,
		ConsumerGroup: group,
		Credentials:   &credentials.SessionCredentials{},
	}
}

type client interface{ GracefulStop() error }

var running []client

func stopClients() {
	var all sync.WaitGroup
	for _, one := range running {
		all.Add(1)
		go func() {
			defer all.Done()
			_ = one.GracefulStop() // a scenario's verdict doesn't hang on it
		}()
	}
	running = nil
	stopped := make(chan struct{})
	go func() { all.Wait(); close(stopped) }()
	select {
	case <-stopped:
	case <-time.After(15 * time.Second):
	}
}

func producer(topic string, options ...rmq.ProducerOption) rmq.Producer {
	made, err := rmq.NewProducer(config(""), append(options, rmq.WithTopics(topic))...)
	must(err)
	must(made.Start())
	running = append(running, made)
	return made
}

func simpleConsumer(topic, group string, filter *rmq.FilterExpression) rmq.SimpleConsumer {
	made, err := rmq.NewSimpleConsumer(config(group), rmq.WithSimpleAwaitDuration(3*time.Second),
		rmq.WithSimpleSubscriptionExpressions(map[string]*rmq.FilterExpression{topic: filter}))
	must(err)
	must(made.Start())
	running = append(running, made)
	return made
}

func pushConsumer(topic, group string, consume func(*rmq.MessageView) rmq.ConsumerResult) rmq.PushConsumer {
	made, err := rmq.NewPushConsumer(config(group), rmq.WithPushAwaitDuration(3*time.Second),
		rmq.WithPushConsumptionThreadCount(8),
		rmq.WithPushMaxCacheMessageCount(1024),
		rmq.WithPushSubscriptionExpressions(map[string]*rmq.FilterExpression{topic: rmq.SUB_ALL}),
		rmq.WithPushMessageListener(&rmq.FuncMessageListener{Consume: consume}))
	must(err)
	must(made.Start())
	running = append(running, made)
	return made
}

// Received from the dead-letter queue, which is made with its first message.
func deadLetters(group string, count int) *received {
	var from rmq.SimpleConsumer
	waitUntil(30*time.Second, "a dead-letter queue", func() bool {
		made, err := rmq.NewSimpleConsumer(config(unique("group")), rmq.WithSimpleAwaitDuration(3*time.Second),
			rmq.WithSimpleSubscriptionExpressions(
				map[string]*rmq.FilterExpression{"%DLQ%" + group: rmq.SUB_ALL}))
		if err != nil || made.Start() != nil {
			return false
		}
		from = made
		return true
	})
	running = append(running, from)
	return receiveCount(from, 20*time.Second, count)
}

func message(topic, body string) *rmq.Message {
	return &rmq.Message{Topic: topic, Body: []byte(body)}
}

type sent struct {
	bodies   []string
	failures int
	longest  time.Duration
}

// Sends one after another; what fails after the client's own retries is sent again.
func sendMany(to rmq.Producer, topic, prefix string, count int, at func(i int)) sent {
	var all sent
	for i := range count {
		if at != nil {
			at(i)
		}
		body := fmt.Sprintf("%s-%d", prefix, i)
		began := time.Now()
		waitUntil(30*time.Second, body+" to be sent", func() bool {
			_, err := to.Send(context.Background(), message(topic, body))
			if err != nil {
				all.failures++
			}
			return err == nil
		})
		all.longest = max(all.longest, time.Since(began))
		all.bodies = append(all.bodies, body)
	}
	return all
}

// Thread-safe: listeners count as well.
type received struct {
	mutex    sync.Mutex
	attempts map[string][]int32
	messages []*rmq.MessageView
}

func newReceived() *received { return &received{attempts: map[string][]int32{}} }

// Which delivery of this body it is, from 1.
func (r *received) add(one *rmq.MessageView) int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	body := string(one.GetBody())
	r.attempts[body] = append(r.attempts[body], one.GetDeliveryAttempt())
	r.messages = append(r.messages, one)
	return len(r.attempts[body])
}

func (r *received) different() int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return len(r.attempts)
}

func (r *received) deliveries() int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return len(r.messages)
}

func (r *received) of(body string) []int32 {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.attempts[body]
}

func (r *received) checkComplete(bodies []string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	missing := 0
	for _, body := range bodies {
		if len(r.attempts[body]) == 0 {
			missing++
		}
	}
	check(missing == 0, "%d of %d acknowledged messages are missing", missing, len(bodies))
	check(len(r.attempts) == len(bodies), "%d different messages arrived, %d were sent",
		len(r.attempts), len(bodies))
}

// Receives until `done` or the limit; acks what it gets if asked to.
func receiveUntil(from rmq.SimpleConsumer, limit time.Duration, ack bool, done func(*received) bool) *received {
	got := newReceived()
	for end := time.Now().Add(limit); !done(got) && time.Now().Before(end); {
		// Finding nothing is an error of this client, too.
		batch, _ := from.Receive(context.Background(), 32, 10*time.Second)
		for _, one := range batch {
			got.add(one)
			if ack {
				_ = from.Ack(context.Background(), one)
			}
		}
	}
	return got
}

func receiveCount(from rmq.SimpleConsumer, limit time.Duration, count int) *received {
	return receiveUntil(from, limit, true, func(r *received) bool { return r.different() >= count })
}

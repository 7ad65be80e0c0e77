package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
	"github.com/apache/rocketmq-clients/golang/v5/credentials"
)

var counter atomic.Int64

func unique(name string) string {
	return fmt.Sprintf("%s-go-%x-%d", name, time.Now().UnixMilli()&0xffffff, counter.Add(1))
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

// The clients of one scenario.
type clients struct{ running []client }

func (c *clients) stop() {
	var all sync.WaitGroup
	for _, one := range c.running {
		all.Add(1)
		go func() {
			defer all.Done()
			_ = one.GracefulStop() // a scenario's verdict doesn't hang on it
		}()
	}
	c.running = nil
	stopped := make(chan struct{})
	go func() { all.Wait(); close(stopped) }()
	select {
	case <-stopped:
	case <-time.After(15 * time.Second):
	}
}

func (c *clients) producer(topic string, options ...rmq.ProducerOption) rmq.Producer {
	made, err := rmq.NewProducer(config(""), append(options, rmq.WithTopics(topic))...)
	must(err)
	must(made.Start())
	c.running = append(c.running, made)
	return made
}

func newSimpleConsumer(topic, group string, filter *rmq.FilterExpression) (rmq.SimpleConsumer, error) {
	made, err := rmq.NewSimpleConsumer(config(group), rmq.WithSimpleAwaitDuration(3*time.Second),
		rmq.WithSimpleSubscriptionExpressions(map[string]*rmq.FilterExpression{topic: filter}))
	if err != nil {
		return nil, err
	}
	return made, made.Start()
}

func (c *clients) filteringConsumer(topic, group string, filter *rmq.FilterExpression) rmq.SimpleConsumer {
	made, err := newSimpleConsumer(topic, group, filter)
	must(err)
	c.running = append(c.running, made)
	return made
}

func (c *clients) simpleConsumer(topic, group string) rmq.SimpleConsumer {
	return c.filteringConsumer(topic, group, rmq.SUB_ALL)
}

type consume = func(*rmq.MessageView) rmq.ConsumerResult

func (c *clients) filteringPushConsumer(topic, group string, filter *rmq.FilterExpression, listen consume) {
	made, err := rmq.NewPushConsumer(config(group), rmq.WithPushAwaitDuration(3*time.Second),
		rmq.WithPushConsumptionThreadCount(16),
		rmq.WithPushMaxCacheMessageCount(1024),
		rmq.WithPushSubscriptionExpressions(map[string]*rmq.FilterExpression{topic: filter}),
		rmq.WithPushMessageListener(&rmq.FuncMessageListener{Consume: listen}))
	must(err)
	must(made.Start())
	c.running = append(c.running, made)
}

func (c *clients) pushConsumer(topic, group string, listen consume) {
	c.filteringPushConsumer(topic, group, rmq.SUB_ALL, listen)
}

// Received from the dead-letter queue, which is made with its first message.
func (c *clients) deadLetters(group string, count int) *received {
	var from rmq.SimpleConsumer
	waitUntil(30*time.Second, "a dead-letter queue", func() bool {
		made, err := newSimpleConsumer("%DLQ%"+group, unique("group"), rmq.SUB_ALL)
		from = made
		return err == nil
	})
	c.running = append(c.running, from)
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

// The bodies in the order in which they came.
func (r *received) deliveredBodies() []string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	var bodies []string
	for _, one := range r.messages {
		bodies = append(bodies, string(one.GetBody()))
	}
	return bodies
}

// A listener that succeeds.
func (r *received) listen(one *rmq.MessageView) rmq.ConsumerResult {
	r.add(one)
	return rmq.SUCCESS
}

// The bodies in the order in which each came first.
func (r *received) order() []string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	var bodies []string
	for _, one := range r.messages {
		if body := string(one.GetBody()); !slices.Contains(bodies, body) {
			bodies = append(bodies, body)
		}
	}
	return bodies
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

// The bodies of all, in alphabetical order.
func (r *received) bodies() []string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return slices.Sorted(maps.Keys(r.attempts))
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

// The official RocketMQ 5 client for Go against the cluster in $RAFTMQ_CLUSTER_DIR. Prints TAP.
package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
)

var scenarios = []scenario{
	{"a producer and the consumers start and stop over TLS", startAndStop},
	{"a message arrives with all that was sent with it", allFields},
	{"an asynchronous send calls back once", asynchronousSend},
	{"an acked message never comes again and an unacked one does", ackAndNot},
	{"a prolonged invisibility keeps a message away", changedInvisibility},
	{"a push consumer gets every message and a failed one again", pushWithFailure},
	{"a message that always fails is dead-lettered after its last attempt", deadLettered},
	{"an orderly consumer dead-letters a message and goes on with the next", deadLetteredInOrder},
	{"a consumer that goes away leaves its messages to another", takenOver},
	{"messages of one group arrive in order", fifo},
	{"only messages with a wanted tag arrive", tags},
	{"a delayed message comes when it is due", delayed},
	{"a transaction is seen after its commit and never after its rollback", transactions},
	{"a forgotten transaction is checked back and committed", orphan},
	{"an unknown topic and the wrong type are refused", refused},
	{"a body above 4 MiB is refused and one of 1 MiB is taken", sizes},
	{"the leader is killed while a client sends", killWhileSending},
	{"the leader is killed while a client consumes", killWhileConsuming},
	{"the leader is killed while a push consumer works", killWhilePushing},
	{"every member is restarted while a client sends", rolling},
}

func main() { os.Exit(runAll(scenarios)) }

func startAndStop() string {
	topic := newTopic("start", "NORMAL")
	producer(topic)
	simpleConsumer(topic, unique("group"), rmq.SUB_ALL)
	pushConsumer(topic, unique("group"), func(*rmq.MessageView) rmq.ConsumerResult { return rmq.SUCCESS })
	for _, one := range running {
		must(one.GracefulStop())
	}
	running = nil
	return ""
}

func allFields() string {
	topic := newTopic("fields", "NORMAL")
	out := message(topic, "päyload 🚀")
	out.SetTag("blue")
	out.SetKeys("key-1", "key-2")
	out.AddProperty("colour", "blue")
	receipts, err := producer(topic).Send(context.Background(), out)
	must(err)
	got := receiveCount(simpleConsumer(topic, unique("group"), rmq.SUB_ALL), 20*time.Second, 1)
	check(got.deliveries() == 1, "%d messages arrived, expected 1", got.deliveries())
	one := got.messages[0]
	check(one.GetMessageId() == receipts[0].MessageID, "message id %s, expected %s", one.GetMessageId(),
		receipts[0].MessageID)
	check(string(one.GetBody()) == "päyload 🚀", "body %q", one.GetBody())
	check(one.GetTag() != nil && *one.GetTag() == "blue", "tag %v", one.GetTag())
	check(slices.Equal(one.GetKeys(), []string{"key-1", "key-2"}), "keys %v", one.GetKeys())
	check(one.GetProperties()["colour"] == "blue", "properties %v", one.GetProperties())
	check(one.GetDeliveryAttempt() == 1, "attempt %d", one.GetDeliveryAttempt())
	return ""
}

func asynchronousSend() string {
	topic := newTopic("async", "NORMAL")
	from := producer(topic)
	var calls, failures int
	var mutex sync.Mutex
	for i := range 50 {
		from.SendAsync(context.Background(), message(topic, fmt.Sprintf("m-%d", i)),
			func(_ context.Context, _ []*rmq.SendReceipt, err error) {
				mutex.Lock()
				defer mutex.Unlock()
				calls++
				if err != nil {
					failures++
				}
			})
	}
	got := receiveCount(simpleConsumer(topic, unique("group"), rmq.SUB_ALL), 30*time.Second, 50)
	mutex.Lock()
	defer mutex.Unlock()
	check(calls == 50 && failures == 0, "%d callbacks, %d of them failures", calls, failures)
	check(got.deliveries() == 50, "%d messages arrived", got.deliveries())
	return ""
}

func ackAndNot() string {
	topic := newTopic("ack", "NORMAL")
	all := sendMany(producer(topic), topic, "m", 20, nil)
	from := simpleConsumer(topic, unique("group"), rmq.SUB_ALL)
	first := receiveUntil(from, 20*time.Second, false, func(r *received) bool { return r.different() == 20 })
	first.checkComplete(all.bodies)
	kept := first.messages[7]
	for _, one := range first.messages {
		if one != kept {
			must(from.Ack(context.Background(), one))
		}
	}
	again := receiveCount(from, 25*time.Second, 1)
	check(slices.Equal(again.of(string(kept.GetBody())), []int32{2}), "what came again: %v", again.attempts)
	later := receiveCount(from, 4*time.Second, 1)
	check(later.different() == 0, "what came later: %v", later.attempts)
	return ""
}

func changedInvisibility() string {
	topic := newTopic("invisible", "NORMAL")
	sendMany(producer(topic), topic, "m", 1, nil)
	from := simpleConsumer(topic, unique("group"), rmq.SUB_ALL)
	first := receiveUntil(from, 20*time.Second, false, func(r *received) bool { return r.different() == 1 })
	check(first.different() == 1, "nothing arrived")
	must(from.ChangeInvisibleDuration(first.messages[0], 20*time.Second))
	early := receiveCount(from, 12*time.Second, 1)
	check(early.different() == 0, "it came again before its time")
	must(from.ChangeInvisibleDuration(first.messages[0], 1*time.Second))
	again := receiveCount(from, 15*time.Second, 1)
	check(again.different() == 1, "it did not come again after its time was shortened")
	return ""
}

func pushWithFailure() string {
	topic := newTopic("push", "NORMAL")
	got := newReceived()
	pushConsumer(topic, unique("group"), func(one *rmq.MessageView) rmq.ConsumerResult {
		if got.add(one) == 1 && string(one.GetBody()) == "m-3" {
			return rmq.FAILURE
		}
		return rmq.SUCCESS
	})
	all := sendMany(producer(topic), topic, "m", 40, nil)
	waitUntil(40*time.Second, "40 messages and one retry", func() bool {
		return got.different() == 40 && len(got.of("m-3")) == 2
	})
	got.checkComplete(all.bodies)
	check(slices.Equal(got.of("m-3"), []int32{1, 2}), "attempts of the failed one: %v", got.of("m-3"))
	return ""
}

func failing(got *received, body string) func(*rmq.MessageView) rmq.ConsumerResult {
	return func(one *rmq.MessageView) rmq.ConsumerResult {
		got.add(one)
		if string(one.GetBody()) == body {
			return rmq.FAILURE
		}
		return rmq.SUCCESS
	}
}

func deadLettered() string {
	topic, group := newTopic("dlq", "NORMAL"), newGroup("2")
	got := newReceived()
	pushConsumer(topic, group, failing(got, "m-1"))
	all := sendMany(producer(topic), topic, "m", 5, nil)
	dead := deadLetters(group, 1)
	check(slices.Equal(dead.of("m-1"), []int32{1}) && dead.deliveries() == 1, "dead: %v", dead.attempts)
	check(slices.Equal(got.of("m-1"), []int32{1, 2, 3}), "attempts of the failed one: %v", got.of("m-1"))
	got.checkComplete(all.bodies)
	return ""
}

func deadLetteredInOrder() string {
	topic, group := newTopic("dlq-fifo", "FIFO"), newGroup("2", "--orderly")
	got := newReceived()
	pushConsumer(topic, group, failing(got, "m-1"))
	to := producer(topic)
	for i := range 4 {
		out := message(topic, fmt.Sprintf("m-%d", i))
		out.SetMessageGroup("x")
		_, err := to.Send(context.Background(), out)
		must(err)
	}
	waitUntil(40*time.Second, "the last message", func() bool { return len(got.of("m-3")) == 1 })
	dead := deadLetters(group, 1)
	check(len(dead.of("m-1")) == 1 && dead.deliveries() == 1, "dead: %v", dead.attempts)
	check(len(got.of("m-1")) == 3, "attempts of the failed one: %v", got.of("m-1"))
	return ""
}

func takenOver() string {
	topic, group := newTopic("takeover", "NORMAL"), unique("group")
	all := sendMany(producer(topic), topic, "m", 10, nil)
	first := simpleConsumer(topic, group, rmq.SUB_ALL)
	held := receiveUntil(first, 20*time.Second, false, func(r *received) bool { return r.different() == 10 })
	held.checkComplete(all.bodies)
	stopClients()
	second := receiveCount(simpleConsumer(topic, group, rmq.SUB_ALL), 30*time.Second, 10)
	second.checkComplete(all.bodies)
	return ""
}

func fifo() string {
	topic := newTopic("fifo", "FIFO")
	from := producer(topic)
	for i := range 15 {
		for _, group := range []string{"x", "y"} {
			out := message(topic, fmt.Sprintf("%s-%d", group, i))
			out.SetMessageGroup(group)
			_, err := from.Send(context.Background(), out)
			must(err)
		}
	}
	got := receiveCount(simpleConsumer(topic, unique("group"), rmq.SUB_ALL), 40*time.Second, 30)
	next := map[string]int{}
	for _, one := range got.messages {
		group := strings.Split(string(one.GetBody()), "-")[0]
		expected := fmt.Sprintf("%s-%d", group, next[group])
		check(string(one.GetBody()) == expected, "%s came, expected %s", one.GetBody(), expected)
		next[group]++
	}
	check(next["x"] == 15 && next["y"] == 15, "arrived: %v", next)
	return ""
}

func tags() string {
	topic := newTopic("tags", "NORMAL")
	from := producer(topic)
	for _, tag := range []string{"a", "b", "c", "a"} {
		out := message(topic, tag)
		out.SetTag(tag)
		_, err := from.Send(context.Background(), out)
		must(err)
	}
	got := receiveUntil(simpleConsumer(topic, unique("group"), rmq.NewFilterExpression("a || b")),
		8*time.Second, true, func(r *received) bool { return r.deliveries() > 3 })
	check(len(got.of("a")) == 2 && len(got.of("b")) == 1 && got.deliveries() == 3, "arrived: %v", got.attempts)
	return ""
}

func delayed() string {
	topic := newTopic("delay", "DELAY")
	due := time.Now().Add(4 * time.Second)
	out := message(topic, "later")
	out.SetDelayTimestamp(due)
	_, err := producer(topic).Send(context.Background(), out)
	must(err)
	got := receiveCount(simpleConsumer(topic, unique("group"), rmq.SUB_ALL), 20*time.Second, 1)
	late := time.Since(due)
	check(got.deliveries() == 1, "%d messages arrived", got.deliveries())
	check(late > -50*time.Millisecond && late < 3*time.Second, "delivered %v after it was due", late)
	return ""
}

func resolve(with rmq.TransactionResolution) rmq.ProducerOption {
	return rmq.WithTransactionChecker(&rmq.TransactionChecker{
		Check: func(*rmq.MessageView) rmq.TransactionResolution { return with },
	})
}

func transactions() string {
	topic := newTopic("transaction", "TRANSACTION")
	from := producer(topic, resolve(rmq.ROLLBACK))
	to := simpleConsumer(topic, unique("group"), rmq.SUB_ALL)
	dropped, kept := from.BeginTransaction(), from.BeginTransaction()
	_, err := from.SendWithTransaction(context.Background(), message(topic, "no"), dropped)
	must(err)
	_, err = from.SendWithTransaction(context.Background(), message(topic, "yes"), kept)
	must(err)
	before := receiveCount(to, 2*time.Second, 1)
	check(before.different() == 0, "before the commit: %v", before.attempts)
	must(dropped.RollBack())
	must(kept.Commit())
	got := receiveUntil(to, 8*time.Second, true, func(r *received) bool { return r.deliveries() > 1 })
	check(got.deliveries() == 1 && len(got.of("yes")) == 1, "after it: %v", got.attempts)
	return ""
}

func orphan() string {
	topic := newTopic("orphan", "TRANSACTION")
	from := producer(topic, resolve(rmq.COMMIT))
	_, err := from.SendWithTransaction(context.Background(), message(topic, "left"), from.BeginTransaction())
	must(err)
	began := time.Now()
	got := receiveCount(simpleConsumer(topic, unique("group"), rmq.SUB_ALL), 60*time.Second, 1)
	check(got.deliveries() == 1, "%d messages arrived", got.deliveries())
	return fmt.Sprintf("committed by a check-back after %.1f s", time.Since(began).Seconds())
}

func refused() string {
	from, err := rmq.NewProducer(config(""), rmq.WithTopics(unique("nowhere")))
	must(err)
	err = from.Start()
	check(err != nil, "a producer of an unknown topic started")
	topic := newTopic("type", "NORMAL")
	out := message(topic, "m")
	out.SetMessageGroup("x")
	_, err = producer(topic).Send(context.Background(), out)
	check(err != nil && strings.Contains(strings.ToLower(err.Error()), "type"), "the error says why: %v", err)
	return ""
}

func sizes() string {
	topic := newTopic("size", "NORMAL")
	from := producer(topic)
	_, err := from.Send(context.Background(), message(topic, strings.Repeat("x", 4<<20+1)))
	check(err != nil, "4 MiB + 1 was taken")
	_, err = from.Send(context.Background(), message(topic, strings.Repeat("x", 1<<20)))
	must(err)
	return ""
}

func killWhileSending() string {
	topic := newTopic("kill-send", "NORMAL")
	all := sendMany(producer(topic), topic, "m", 300, func(i int) {
		if i == 80 {
			killLeader()
		}
	})
	receiveCount(simpleConsumer(topic, unique("group"), rmq.SUB_ALL), 60*time.Second, 300).checkComplete(all.bodies)
	check(all.longest < 10*time.Second, "one send took %v", all.longest)
	return fmt.Sprintf("%d sends failed, the longest took %d ms", all.failures, all.longest.Milliseconds())
}

func killWhileConsuming() string {
	topic := newTopic("kill-consume", "NORMAL")
	from, to := producer(topic), simpleConsumer(topic, unique("group"), rmq.SUB_ALL)
	outcome := make(chan sent)
	go func() {
		outcome <- sendMany(from, topic, "m", 400, func(i int) {
			if i == 150 {
				killLeader()
			}
		})
	}()
	got := receiveCount(to, 90*time.Second, 400)
	got.checkComplete((<-outcome).bodies)
	return fmt.Sprintf("%d redelivered", got.deliveries()-got.different())
}

func killWhilePushing() string {
	topic := newTopic("kill-push", "NORMAL")
	got := newReceived()
	pushConsumer(topic, unique("group"), func(one *rmq.MessageView) rmq.ConsumerResult {
		got.add(one)
		return rmq.SUCCESS
	})
	all := sendMany(producer(topic), topic, "m", 300, func(i int) {
		if i == 100 {
			waitUntil(30*time.Second, "a first message", func() bool { return got.different() > 0 })
			killLeader()
		}
	})
	waitUntil(90*time.Second, "300 messages", func() bool { return got.different() >= 300 })
	got.checkComplete(all.bodies)
	return fmt.Sprintf("%d redelivered", got.deliveries()-got.different())
}

func rolling() string {
	topic := newTopic("rolling", "NORMAL")
	from := producer(topic)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, one := range members() {
			restart(one.ID)
		}
	}()
	var bodies []string
	var failures int
	var longest time.Duration
	for round := 0; ; round++ {
		all := sendMany(from, topic, fmt.Sprintf("m-%d", round), 50, nil)
		bodies = append(bodies, all.bodies...)
		failures += all.failures
		longest = max(longest, all.longest)
		select {
		case <-done:
			receiveCount(simpleConsumer(topic, unique("group"), rmq.SUB_ALL), 90*time.Second, len(bodies)).
				checkComplete(bodies)
			return fmt.Sprintf("%d sent, %d sends failed, the longest took %d ms", len(bodies), failures,
				longest.Milliseconds())
		default:
		}
	}
}

// The official RocketMQ 5 client for Go against the cluster in $RAFTMQ_CLUSTER_DIR. Prints TAP.
package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
)

var scenarios = []scenario{
	// First those that wait longest.
	{"messages of a killed push consumer are taken over", pushTakenOver, false},
	{"messages of a killed simple consumer are taken over", simpleTakenOver, false},
	{"messages of a killed orderly consumer are taken over in order", orderlyTakenOver, false},
	{"clients start and stop", startAndStop, false},
	{"a message arrives with all that was sent with it", allFields, false},
	{"sends in flight together are answered once each", sendsInFlight, false},
	{"an acked message never comes again and an unacked one does", ackAndNot, false},
	{"a changed invisibility keeps a message away or brings it back", changedInvisibility, false},
	{"a push consumer gets every message and a failed one again", pushWithFailure, false},
	{"a message that always fails is dead-lettered after its last attempt", deadLettered, false},
	{"an orderly consumer dead-letters a message and goes on with the next", deadLetteredInOrder, false},
	{"messages of one group arrive in order", fifo, false},
	{"only messages with a wanted tag arrive", tags, false},
	{"only messages that an SQL expression wants arrive", sql, false},
	{"a delayed message comes when it is due", delayed, false},
	{"a transaction is seen after its commit and never after its rollback", transactions, false},
	{"an orphaned transaction is ended as its producer says when it is asked", orphan, false},
	{"an unknown topic is refused", unknownTopic, false},
	{"a message of the wrong type is refused", wrongType, false},
	{"a body above 4 MiB is refused and one of 1 MiB is taken", sizes, false},
	{"the leader is killed while a client sends", killWhileSending, true},
	{"the leader is killed while a client consumes", killWhileConsuming, true},
	{"the leader is killed while a push consumer works", killWhilePushing, true},
	{"the leader is killed while an orderly consumer works", killWhileOrderly, true},
	{"open transactions and delayed messages survive a killed leader", killBetween, true},
	{"every member is restarted while a client sends and consumes", rolling, true},
}

func main() {
	if len(os.Args) == 5 && os.Args[1] == "consume" {
		consumeForEver(os.Args[2], os.Args[3], os.Args[4])
	}
	os.Exit(runAll(scenarios))
}

// Bodies of one message group; what fails after the client's own retries is sent again.
func sendInOrder(to rmq.Producer, topic string, count int, at func(i int)) []string {
	var bodies []string
	for i := range count {
		at(i)
		out := message(topic, fmt.Sprintf("m-%d", i))
		out.SetMessageGroup("x")
		waitUntil(30*time.Second, "a send", func() bool {
			_, err := to.Send(context.Background(), out)
			return err == nil
		})
		bodies = append(bodies, string(out.Body))
	}
	return bodies
}

func orderlyTakenOver(c *clients) string {
	topic, group := newTopic("takeover-fifo", "FIFO"), newGroup("16", "--orderly")
	bodies := sendInOrder(c.producer(topic), topic, 6, func(int) {})
	held := holdUntilKilled("push", topic, group, 1)
	check(slices.Equal(held, bodies[:1]), "it held %v", held)
	began := time.Now()
	got := newReceived()
	c.pushConsumer(topic, group, got.listen)
	waitUntil(90*time.Second, "all messages", func() bool { return got.different() == len(bodies) })
	check(slices.Equal(got.order(), bodies), "order: %v", got.order())
	check(slices.Equal(got.of("m-0"), []int32{2}), "attempts of the held one: %v", got.of("m-0"))
	return fmt.Sprintf("after %.0f s", time.Since(began).Seconds())
}

func success(*rmq.MessageView) rmq.ConsumerResult { return rmq.SUCCESS }

func startAndStop(c *clients) string {
	topic := newTopic("start", "NORMAL")
	c.producer(topic)
	c.simpleConsumer(topic, unique("group"))
	c.pushConsumer(topic, unique("group"), success)
	for _, one := range c.running {
		must(one.GracefulStop())
	}
	c.running = nil
	return ""
}

func allFields(c *clients) string {
	topic := newTopic("fields", "NORMAL")
	out := message(topic, "päyload 🚀")
	out.SetTag("blue")
	out.SetKeys("key-1", "key-2")
	out.AddProperty("colour", "blue")
	receipts, err := c.producer(topic).Send(context.Background(), out)
	must(err)
	got := receiveCount(c.simpleConsumer(topic, unique("group")), 20*time.Second, 1)
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

func sendsInFlight(c *clients) string {
	topic := newTopic("async", "NORMAL")
	from := c.producer(topic)
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
	got := receiveCount(c.simpleConsumer(topic, unique("group")), 30*time.Second, 50)
	mutex.Lock()
	defer mutex.Unlock()
	check(calls == 50 && failures == 0, "%d callbacks, %d of them failures", calls, failures)
	check(got.deliveries() == 50, "%d messages arrived", got.deliveries())
	return ""
}

func ackAndNot(c *clients) string {
	topic := newTopic("ack", "NORMAL")
	all := sendMany(c.producer(topic), topic, "m", 20, nil)
	from := c.simpleConsumer(topic, unique("group"))
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

func changedInvisibility(c *clients) string {
	topic := newTopic("invisible", "NORMAL")
	sendMany(c.producer(topic), topic, "m", 1, nil)
	from := c.simpleConsumer(topic, unique("group"))
	first := receiveUntil(from, 20*time.Second, false, func(r *received) bool { return r.different() == 1 })
	check(first.different() == 1, "nothing arrived")
	for range 2 { // the second time it goes on from where the first time would have ended
		must(from.ChangeInvisibleDuration(first.messages[0], 12*time.Second))
		early := receiveCount(from, 8*time.Second, 1)
		check(early.different() == 0, "it came again before its time")
	}
	must(from.ChangeInvisibleDuration(first.messages[0], time.Second))
	again := receiveCount(from, 15*time.Second, 1)
	check(slices.Equal(again.of("m-0"), []int32{2}), "what came again: %v", again.attempts)
	return ""
}

func pushWithFailure(c *clients) string {
	topic := newTopic("push", "NORMAL")
	got := newReceived()
	c.pushConsumer(topic, unique("group"), func(one *rmq.MessageView) rmq.ConsumerResult {
		if got.add(one) == 1 && string(one.GetBody()) == "m-3" {
			return rmq.FAILURE
		}
		return rmq.SUCCESS
	})
	all := sendMany(c.producer(topic), topic, "m", 40, nil)
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

func deadLettered(c *clients) string {
	topic, group := newTopic("dlq", "NORMAL"), newGroup("2")
	got := newReceived()
	c.pushConsumer(topic, group, failing(got, "m-1"))
	all := sendMany(c.producer(topic), topic, "m", 5, nil)
	dead := c.deadLetters(group, 1)
	check(slices.Equal(dead.of("m-1"), []int32{1}) && dead.deliveries() == 1, "dead: %v", dead.attempts)
	check(slices.Equal(got.of("m-1"), []int32{1, 2, 3}), "attempts of the failed one: %v", got.of("m-1"))
	got.checkComplete(all.bodies)
	return ""
}

func deadLetteredInOrder(c *clients) string {
	topic, group := newTopic("dlq-fifo", "FIFO"), newGroup("2", "--orderly")
	got := newReceived()
	c.pushConsumer(topic, group, failing(got, "m-1"))
	to := c.producer(topic)
	for i := range 4 {
		out := message(topic, fmt.Sprintf("m-%d", i))
		out.SetMessageGroup("x")
		_, err := to.Send(context.Background(), out)
		must(err)
	}
	waitUntil(40*time.Second, "the last message", func() bool { return len(got.of("m-3")) == 1 })
	dead := c.deadLetters(group, 1)
	check(len(dead.of("m-1")) == 1 && dead.deliveries() == 1, "dead: %v", dead.attempts)
	check(slices.Equal(got.deliveredBodies(), []string{"m-0", "m-1", "m-1", "m-1", "m-2", "m-3"}),
		"deliveries: %v", got.deliveredBodies())
	return ""
}

// What a killed consumer held comes again to `other`; what nobody held comes at once.
func takenOver(c *clients, kind string, other func(topic, group string, bodies []string) *received) string {
	topic, group := newTopic("takeover", "NORMAL"), unique("group")
	from := c.producer(topic)
	held := sendMany(from, topic, "m", 10, nil).bodies
	byTheKilled := holdUntilKilled(kind, topic, group, 10)
	slices.Sort(byTheKilled)
	check(slices.Equal(byTheKilled, held), "it held %v", byTheKilled)
	began := time.Now()
	late := sendMany(from, topic, "late", 5, nil).bodies
	got := other(topic, group, append(held, late...))
	for _, body := range held {
		check(slices.Equal(got.of(body), []int32{2}), "attempts of %s: %v", body, got.of(body))
	}
	for _, body := range late {
		check(slices.Equal(got.of(body), []int32{1}), "attempts of %s: %v", body, got.of(body))
	}
	return fmt.Sprintf("after %.0f s", time.Since(began).Seconds())
}

func pushTakenOver(c *clients) string {
	return takenOver(c, "push", func(topic, group string, bodies []string) *received {
		got := newReceived()
		c.pushConsumer(topic, group, got.listen)
		waitUntil(90*time.Second, "all messages", func() bool { return got.different() == len(bodies) })
		return got
	})
}

func simpleTakenOver(c *clients) string {
	return takenOver(c, "simple", func(topic, group string, bodies []string) *received {
		return receiveCount(c.simpleConsumer(topic, group), 40*time.Second, len(bodies))
	})
}

func fifo(c *clients) string {
	topic := newTopic("fifo", "FIFO")
	from := c.producer(topic)
	for i := range 15 {
		for _, group := range []string{"x", "y"} {
			out := message(topic, fmt.Sprintf("%s-%d", group, i))
			out.SetMessageGroup(group)
			_, err := from.Send(context.Background(), out)
			must(err)
		}
	}
	got := receiveCount(c.simpleConsumer(topic, unique("group")), 40*time.Second, 30)
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

// Only these bodies reach a simple and a push consumer with this filter.
func checkFiltered(c *clients, topic string, filter *rmq.FilterExpression, expected []string) {
	pushed := newReceived()
	c.filteringPushConsumer(topic, unique("group"), filter, pushed.listen)
	from := c.filteringConsumer(topic, unique("group"), filter)
	slices.Sort(expected)
	got := receiveCount(from, 30*time.Second, len(expected))
	check(slices.Equal(got.bodies(), expected), "a simple consumer got %v", got.bodies())
	waitUntil(30*time.Second, "all to be pushed", func() bool { return pushed.different() >= len(expected) })
	later := receiveCount(from, 4*time.Second, 1)
	check(later.different() == 0, "later: %v", later.bodies())
	check(slices.Equal(pushed.bodies(), expected), "a push consumer got %v", pushed.bodies())
}

func tags(c *clients) string {
	topic := newTopic("tags", "NORMAL")
	from := c.producer(topic)
	var wanted []string
	for i := range 20 {
		out := message(topic, fmt.Sprintf("m-%d", i))
		out.SetTag([]string{"red", "green", "blue", "grey"}[i%4])
		_, err := from.Send(context.Background(), out)
		must(err)
		if i%2 == 0 {
			wanted = append(wanted, string(out.Body))
		}
	}
	checkFiltered(c, topic, rmq.NewFilterExpression("red || blue"), wanted)
	return ""
}

func sql(c *clients) string {
	topic := newTopic("sql", "NORMAL")
	from := c.producer(topic)
	for i := range 20 {
		out := message(topic, fmt.Sprintf("m-%d", i))
		out.SetTag([]string{"even", "odd"}[i%2])
		out.AddProperty("price", fmt.Sprint(i))
		_, err := from.Send(context.Background(), out)
		must(err)
	}
	filter := rmq.NewFilterExpressionWithType(
		"(price BETWEEN 15 AND 17 OR price = 3) AND TAGS = 'odd'", rmq.SQL92)
	checkFiltered(c, topic, filter, []string{"m-3", "m-15", "m-17"})
	return ""
}

func delayed(c *clients) string {
	topic := newTopic("delay", "DELAY")
	due := time.Now().Add(4 * time.Second)
	out := message(topic, "later")
	out.SetDelayTimestamp(due)
	_, err := c.producer(topic).Send(context.Background(), out)
	must(err)
	got := receiveCount(c.simpleConsumer(topic, unique("group")), 20*time.Second, 1)
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

func transactions(c *clients) string {
	topic := newTopic("transaction", "TRANSACTION")
	from := c.producer(topic, resolve(rmq.ROLLBACK))
	to := c.simpleConsumer(topic, unique("group"))
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

func orphan(c *clients) string {
	topic := newTopic("orphan", "TRANSACTION")
	asked := newReceived()
	from := c.producer(topic, rmq.WithTransactionChecker(&rmq.TransactionChecker{
		Check: func(one *rmq.MessageView) rmq.TransactionResolution {
			asked.add(one)
			if string(one.GetBody()) == "yes" {
				return rmq.COMMIT
			}
			return rmq.ROLLBACK
		},
	}))
	to := c.simpleConsumer(topic, unique("group"))
	for _, body := range []string{"yes", "no"} {
		_, err := from.SendWithTransaction(context.Background(), message(topic, body), from.BeginTransaction())
		must(err)
	}
	began := time.Now()
	got := receiveCount(to, 60*time.Second, 1)
	took := time.Since(began)
	check(slices.Equal(got.bodies(), []string{"yes"}), "arrived: %v", got.bodies())
	waitUntil(20*time.Second, "both to be asked about", func() bool { return asked.different() == 2 })
	later := receiveCount(to, 3*time.Second, 1)
	check(later.different() == 0, "later: %v", later.bodies())
	return fmt.Sprintf("committed by a check-back after %.1f s", took.Seconds())
}

func unknownTopic(*clients) string {
	from, err := rmq.NewProducer(config(""), rmq.WithTopics(unique("nowhere")))
	must(err)
	err = from.Start()
	check(err != nil && strings.Contains(err.Error(), "TOPIC_NOT_FOUND"), "the error says why: %v", err)
	return ""
}

func wrongType(c *clients) string {
	topic := newTopic("type", "NORMAL")
	out := message(topic, "m")
	out.SetMessageGroup("x")
	_, err := c.producer(topic).Send(context.Background(), out)
	check(err != nil && strings.Contains(strings.ToLower(err.Error()), "type"), "the error says why: %v", err)
	return ""
}

func sizes(c *clients) string {
	topic := newTopic("size", "NORMAL")
	from := c.producer(topic)
	_, err := from.Send(context.Background(), message(topic, strings.Repeat("x", 4<<20+1)))
	check(err != nil && strings.Contains(err.Error(), "exceeds"), "the error says why: %v", err)
	_, err = from.Send(context.Background(), message(topic, strings.Repeat("x", 1<<20)))
	must(err)
	return ""
}

func killWhileSending(c *clients) string {
	topic := newTopic("kill-send", "NORMAL")
	all := sendMany(c.producer(topic), topic, "m", 300, func(i int) {
		if i == 80 {
			killLeader()
		}
	})
	receiveCount(c.simpleConsumer(topic, unique("group")), 60*time.Second, 300).checkComplete(all.bodies)
	check(all.longest < 10*time.Second, "one send took %v", all.longest)
	return fmt.Sprintf("%d sends failed, the longest took %d ms", all.failures, all.longest.Milliseconds())
}

func killWhileConsuming(c *clients) string {
	topic := newTopic("kill-consume", "NORMAL")
	from, to := c.producer(topic), c.simpleConsumer(topic, unique("group"))
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

func killWhilePushing(c *clients) string {
	topic := newTopic("kill-push", "NORMAL")
	got := newReceived()
	c.pushConsumer(topic, unique("group"), got.listen)
	all := sendMany(c.producer(topic), topic, "m", 300, func(i int) {
		if i == 100 {
			waitUntil(30*time.Second, "a first message", func() bool { return got.different() > 0 })
			killLeader()
		}
	})
	waitUntil(90*time.Second, "300 messages", func() bool { return got.different() >= 300 })
	got.checkComplete(all.bodies)
	return fmt.Sprintf("%d redelivered", got.deliveries()-got.different())
}

func killWhileOrderly(c *clients) string {
	topic, group := newTopic("kill-fifo", "FIFO"), newGroup("16", "--orderly")
	got := newReceived()
	c.pushConsumer(topic, group, got.listen)
	bodies := sendInOrder(c.producer(topic), topic, 150, func(i int) {
		if i == 50 {
			waitUntil(30*time.Second, "a first message", func() bool { return got.different() > 0 })
			killLeader()
		}
	})
	waitUntil(90*time.Second, "150 messages", func() bool { return got.different() >= 150 })
	check(slices.Equal(got.order(), bodies), "order: %v", got.order())
	return fmt.Sprintf("%d redelivered", got.deliveries()-150)
}

func killBetween(c *clients) string {
	halves, delays := newTopic("kill-half", "TRANSACTION"), newTopic("kill-delay", "DELAY")
	from, timer := c.producer(halves, resolve(rmq.ROLLBACK)), c.producer(delays)
	ended, later := c.simpleConsumer(halves, unique("group")), c.simpleConsumer(delays, unique("group"))
	dropped, kept := from.BeginTransaction(), from.BeginTransaction()
	_, err := from.SendWithTransaction(context.Background(), message(halves, "no"), dropped)
	must(err)
	_, err = from.SendWithTransaction(context.Background(), message(halves, "yes"), kept)
	must(err)
	due := time.Now().Add(6 * time.Second)
	out := message(delays, "later")
	out.SetDelayTimestamp(due)
	_, err = timer.Send(context.Background(), out)
	must(err)
	killLeader()
	waitUntil(20*time.Second, "the commit", func() bool { return kept.Commit() == nil })
	waitUntil(20*time.Second, "the rollback", func() bool { return dropped.RollBack() == nil })
	got := receiveCount(ended, 20*time.Second, 1)
	check(slices.Equal(got.bodies(), []string{"yes"}), "committed: %v", got.bodies())
	got = receiveCount(later, 20*time.Second, 1)
	check(slices.Equal(got.bodies(), []string{"later"}), "delayed: %v", got.bodies())
	check(time.Since(due) > -50*time.Millisecond, "it came early")
	for _, to := range []rmq.SimpleConsumer{ended, later} {
		got = receiveCount(to, 3*time.Second, 1)
		check(got.different() == 0, "afterwards: %v", got.bodies())
	}
	return ""
}

func rolling(c *clients) string {
	topic := newTopic("rolling", "NORMAL")
	from, to := c.producer(topic), c.simpleConsumer(topic, unique("group"))
	restarted := make(chan any, 1)
	go func() {
		defer func() { restarted <- recover() }()
		for _, one := range members() {
			restart(one.ID)
		}
	}()
	var sentAll atomic.Int64 // how many, once it is known
	consumed := make(chan *received)
	go func() {
		consumed <- receiveUntil(to, 120*time.Second, true, func(r *received) bool {
			return sentAll.Load() > 0 && r.different() >= int(sentAll.Load())
		})
	}()
	var all sent
	for round := 0; ; round++ {
		more := sendMany(from, topic, fmt.Sprintf("m-%d", round), 50, nil)
		all.bodies = append(all.bodies, more.bodies...)
		all.failures += more.failures
		all.longest = max(all.longest, more.longest)
		select {
		case failure := <-restarted:
			sentAll.Store(int64(len(all.bodies)))
			(<-consumed).checkComplete(all.bodies)
			check(failure == nil, "%v", failure)
			return fmt.Sprintf("%d sent, %d sends failed, the longest took %d ms", len(all.bodies),
				all.failures, all.longest.Milliseconds())
		default:
		}
	}
}

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
)

// A consumer that never finishes a message, in a process of its own that is to be killed. Prints the
// body of each message that it holds.
func consumeForEver(kind, topic, group string) {
	var mine clients
	if kind == "push" {
		mine.pushConsumer(topic, group, func(one *rmq.MessageView) rmq.ConsumerResult {
			fmt.Println(string(one.GetBody()))
			select {}
		})
		select {}
	}
	from := mine.simpleConsumer(topic, group)
	for {
		batch, _ := from.Receive(context.Background(), 32, 10*time.Second)
		for _, one := range batch {
			fmt.Println(string(one.GetBody()))
		}
	}
}

// Kills such a process once it holds `count` messages. Returns their bodies.
func holdUntilKilled(kind, topic, group string, count int) []string {
	process := exec.Command(os.Args[0], "consume", kind, topic, group)
	process.Stderr = os.Stderr
	output, err := process.StdoutPipe()
	must(err)
	must(process.Start())
	var mutex sync.Mutex
	var held []string
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			mutex.Lock()
			held = append(held, lines.Text())
			mutex.Unlock()
		}
	}()
	defer func() {
		_ = process.Process.Kill()
		<-ended
		_ = process.Wait()
	}()
	waitUntil(40*time.Second, "a consumer in another process to hold its messages", func() bool {
		mutex.Lock()
		defer mutex.Unlock()
		return len(held) >= count
	})
	mutex.Lock()
	defer mutex.Unlock()
	return held
}

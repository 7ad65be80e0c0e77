package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
)

// A scenario panics when it fails; what it returns is a note for the report, or "". One that kills or
// restarts members runs alone.
type scenario struct {
	name  string
	run   func(*clients) string
	alone bool
}

const atATime = 6 // the others mostly wait

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func check(holds bool, format string, arguments ...any) {
	if !holds {
		panic(fmt.Sprintf(format, arguments...))
	}
}

func waitUntil(limit time.Duration, what string, done func() bool) {
	for end := time.Now().Add(limit); !done(); time.Sleep(20 * time.Millisecond) {
		check(time.Now().Before(end), "waited %v for %s", limit, what)
	}
}

// Runs one and turns its panic into an error.
func attempt(one scenario) (note string, failure any) {
	var mine clients
	defer func() { failure = recover() }()
	defer mine.stop()
	if one.alone {
		heal()
	}
	return one.run(&mine), nil
}

type report struct {
	mutex         sync.Mutex
	number, fails int
}

func (r *report) add(name, note string, failure any) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.number++
	if failure != nil {
		r.fails++
		text := strings.ReplaceAll(fmt.Sprint(failure), "\n", "\n  ")
		fmt.Printf("not ok %d - %s\n  ---\n  %s\n  ...\n", r.number, name, text)
		return
	}
	fmt.Printf("ok %d - %s\n", r.number, name)
	if note != "" {
		fmt.Printf("# %s\n", note)
	}
}

// Runs those whose name matches $RAFTMQ_ONLY, those that are to be alone last. Prints TAP; returns the
// exit code.
func runAll(scenarios []scenario) int {
	only := regexp.MustCompile(os.Getenv("RAFTMQ_ONLY"))
	var together, alone []scenario
	for _, one := range scenarios {
		if !only.MatchString(one.name) {
			continue
		}
		if one.alone {
			alone = append(alone, one)
		} else {
			together = append(together, one)
		}
	}
	fmt.Printf("TAP version 13\n1..%d\n", len(together)+len(alone))
	var results report
	run := func(one scenario) {
		note, failure := attempt(one)
		results.add(one.name, note, failure)
	}
	var pool sync.WaitGroup
	places := make(chan struct{}, atATime)
	for _, one := range together {
		places <- struct{}{}
		pool.Go(func() {
			run(one)
			<-places
		})
	}
	pool.Wait()
	for _, one := range alone {
		run(one)
	}
	return min(results.fails, 1)
}

package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"
)

// A scenario panics when it fails; what it returns is a note for the report, or "".
type scenario struct {
	name string
	run  func() string
}

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
	defer func() { failure = recover() }()
	defer stopClients()
	heal()
	return one.run(), nil
}

// Prints TAP; returns the exit code.
func runAll(scenarios []scenario) int {
	only := regexp.MustCompile(os.Getenv("RAFTMQ_ONLY"))
	var chosen []scenario
	for _, one := range scenarios {
		if only.MatchString(one.name) {
			chosen = append(chosen, one)
		}
	}
	fmt.Printf("TAP version 13\n1..%d\n", len(chosen))
	code := 0
	for i, one := range chosen {
		note, failure := attempt(one)
		if failure != nil {
			code = 1
			text := strings.ReplaceAll(fmt.Sprint(failure), "\n", "\n  ")
			fmt.Printf("not ok %d - %s\n  ---\n  %s\n  ...\n", i+1, one.name, text)
			continue
		}
		fmt.Printf("ok %d - %s\n", i+1, one.name)
		if note != "" {
			fmt.Printf("# %s\n", note)
		}
	}
	return code
}

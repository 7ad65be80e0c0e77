package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Calls deploy/local/cluster on the cluster in $RAFTMQ_CLUSTER_DIR.
func cluster(arguments ...string) ([]byte, error) {
	command := exec.Command(os.Getenv("RAFTMQ_CLUSTER_SCRIPT"), append(arguments, "--json")...)
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w: %s", strings.Join(arguments, " "), err, output)
	}
	return output, nil
}

type member struct {
	ID   string `json:"id"`
	Role string `json:"role"`
}

type clusterStatus struct {
	AccessPoints string `json:"access_points"`
	Groups       map[string]struct {
		Leader  string   `json:"leader"`
		Members []member `json:"members"`
	} `json:"groups"`
}

func status() clusterStatus {
	output, err := cluster("status")
	must(err)
	var parsed clusterStatus
	must(json.Unmarshal(output, &parsed))
	return parsed
}

func members() []member {
	for _, group := range status().Groups {
		return group.Members
	}
	return nil
}

func newTopic(name, messageType string) string {
	topic := unique(name)
	_, err := cluster("topic", topic, "--type", messageType)
	must(err)
	return topic
}

// A consumer group that gives a message that fails out again after half a second.
func newGroup(retries string, more ...string) string {
	group := unique("group")
	_, err := cluster(append([]string{"group", group, "--retries", retries, "--delays", "500"}, more...)...)
	must(err)
	return group
}

func killLeader() {
	waitUntil(20*time.Second, "a leader to kill", func() bool {
		_, err := cluster("kill", "leader")
		return err == nil
	})
}

func restart(id string) {
	_, err := cluster("restart", id)
	must(err)
}

// Brings back what a scenario killed.
func heal() {
	for _, one := range members() {
		if one.Role == "DOWN" {
			restart(one.ID)
		}
	}
}

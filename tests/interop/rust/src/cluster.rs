//! Calls deploy/local/cluster on the cluster in $RAFTMQ_CLUSTER_DIR.
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::tap::{wait_until, Outcome};

static NAMES: AtomicU32 = AtomicU32::new(0);

pub fn unique(name: &str) -> String {
    format!("{name}-{}-{}", std::process::id(), NAMES.fetch_add(1, Ordering::Relaxed))
}

pub fn call(arguments: &[&str]) -> Outcome<serde_json::Value> {
    let script = std::env::var("RAFTMQ_CLUSTER_SCRIPT").map_err(|e| e.to_string())?;
    let done = Command::new(script)
        .args(arguments)
        .arg("--json")
        .output()
        .map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&done.stdout);
    if !done.status.success() {
        let error = String::from_utf8_lossy(&done.stderr);
        return Err(format!("cluster {}: {error}{said}", arguments.join(" ")));
    }
    Ok(serde_json::from_str(&said).unwrap_or_default())
}

pub fn access_points() -> Outcome<String> {
    let status = call(&["status"])?;
    let text = status["access_points"].as_str().ok_or("the cluster has no access points")?;
    // The Rust client separates addresses by commas.
    Ok(text.replace(';', ","))
}

fn members() -> Outcome<Vec<(String, String)>> {
    let status = call(&["status"])?;
    let group = status["groups"].as_object().and_then(|g| g.values().next().cloned());
    let members = group.ok_or("the cluster has no group")?["members"].clone();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_string();
    Ok(members
        .as_array()
        .into_iter()
        .flatten()
        .map(|m| (text(&m["id"]), text(&m["role"])))
        .collect())
}

pub fn ids() -> Outcome<Vec<String>> {
    Ok(members()?.into_iter().map(|(id, _)| id).collect())
}

pub fn new_topic(name: &str, kind: &str) -> Outcome<String> {
    let topic = unique(name);
    call(&["topic", &topic, "--type", kind])?;
    Ok(topic)
}

pub async fn kill_leader() -> Outcome<()> {
    wait_until(Duration::from_secs(20), "a leader to kill", || call(&["kill", "leader"]).is_ok()).await
}

pub fn restart(id: &str) -> Outcome<()> {
    call(&["restart", id]).map(|_| ())
}

/// Brings back what a scenario killed.
pub fn heal() -> Outcome<()> {
    for (id, role) in members()? {
        if role == "DOWN" {
            restart(&id)?;
        }
    }
    Ok(())
}

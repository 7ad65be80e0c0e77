//! A consumer in a process of its own, to be killed.
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::clients::{body_of, consumer, text};
use crate::tap::{wait_until, Outcome};
use rocketmq::model::common::{FilterExpression, FilterType};

/// Acks nothing; prints the body of each message that it holds.
pub async fn for_ever(topic: &str, group: &str) -> Outcome<()> {
    let from = consumer(topic, group).await?;
    let all = FilterExpression::new(FilterType::Tag, "*");
    loop {
        // "No new message" is an error of this client.
        let held = from.receive_with(topic, &all, 16, Duration::from_secs(10)).await;
        for one in held.unwrap_or_default() {
            println!("{}", body_of(&one));
        }
    }
}

/// Kills such a process once it holds `count` messages. Returns their bodies.
pub async fn hold_until_killed(topic: &str, group: &str, count: usize) -> Outcome<Vec<String>> {
    let program = std::env::current_exe().map_err(text)?;
    let mut process = Command::new(program)
        .args(["consume", topic, group])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(text)?;
    let output = process.stdout.take().ok_or("no output")?;
    let held = Arc::new(Mutex::new(Vec::new()));
    let lines = held.clone();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            lines.lock().expect("no holder panics").push(line);
        }
    });
    let enough = || held.lock().expect("no holder panics").len() >= count;
    let waited = wait_until(Duration::from_secs(40), "another process to hold its messages", enough).await;
    process.kill().map_err(text)?;
    process.wait().map_err(text)?;
    reader.join().map_err(|_| "the reader panicked")?;
    waited?;
    let bodies = held.lock().expect("no holder panics").clone();
    Ok(bodies)
}

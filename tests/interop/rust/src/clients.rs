//! The official client, with what the scenarios have in common.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rocketmq::conf::{ClientOption, LoggingFormat, ProducerOption, SimpleConsumerOption};
use rocketmq::model::common::{FilterExpression, FilterType};
use rocketmq::model::message::{Message, MessageBuilder, MessageView};
use rocketmq::model::transaction::TransactionResolution;
use rocketmq::{Producer, SimpleConsumer};

use crate::tap::Outcome;
use crate::{check, cluster};

pub fn text<E: std::fmt::Debug>(error: E) -> String {
    format!("{error:?}")
}

fn client_option() -> Outcome<ClientOption> {
    let mut option = ClientOption::default();
    option.set_access_url(cluster::access_points()?);
    option.set_enable_tls(false); // it has no TLS (its source: "TODO tls config")
    option.set_long_polling_timeout(Duration::from_secs(5));
    Ok(option)
}

fn producer_option(topic: &str) -> ProducerOption {
    let mut option = ProducerOption::default();
    option.set_logging_format(LoggingFormat::Json);
    option.set_topics(vec![topic]);
    option
}

pub async fn producer(topic: &str) -> Outcome<Producer> {
    let mut producer = Producer::new(producer_option(topic), client_option()?).map_err(text)?;
    producer.start().await.map_err(text)?;
    Ok(producer)
}

pub async fn transaction_producer(
    topic: &str,
    checker: impl Fn(String, MessageView) -> TransactionResolution + Send + Sync + 'static,
) -> Outcome<Producer> {
    let mut producer =
        Producer::new_transaction_producer(producer_option(topic), client_option()?, Box::new(checker))
            .map_err(text)?;
    producer.start().await.map_err(text)?;
    Ok(producer)
}

pub async fn consumer(topic: &str, group: &str) -> Outcome<SimpleConsumer> {
    let mut option = SimpleConsumerOption::default();
    option.set_logging_format(LoggingFormat::Json);
    option.set_consumer_group(group);
    option.set_topics(vec![topic]);
    let mut consumer = SimpleConsumer::new(option, client_option()?).map_err(text)?;
    consumer.start().await.map_err(text)?;
    Ok(consumer)
}

pub fn message(topic: &str, body: &str) -> impl Message {
    MessageBuilder::builder()
        .set_topic(topic)
        .set_body(body.as_bytes().to_vec())
        .build()
        .expect("a message with a topic and a body")
}

#[derive(Default)]
pub struct Sent {
    pub bodies: Vec<String>,
    pub failures: usize,
    pub longest: Duration,
}

impl Sent {
    /// This client neither sends again nor leaves out an address where nobody listens, so that is done
    /// here, as an application would.
    pub async fn send(&mut self, from: &Producer, topic: &str, body: String) -> Outcome<()> {
        let began = Instant::now();
        while let Err(failure) = from.send(message(topic, &body)).await {
            self.failures += 1;
            let patience = Duration::from_secs(30);
            check!(began.elapsed() < patience, "{body} could not be sent for {patience:?}: {failure}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.longest = self.longest.max(began.elapsed());
        self.bodies.push(body);
        Ok(())
    }
}

/// The bodies `<prefix>-<i>`, one after another.
pub async fn send_many(from: &Producer, topic: &str, prefix: &str, count: usize) -> Outcome<Vec<String>> {
    let mut sent = Sent::default();
    for i in 0..count {
        sent.send(from, topic, format!("{prefix}-{i}")).await?;
    }
    Ok(sent.bodies)
}

pub fn body_of(message: &MessageView) -> String {
    String::from_utf8_lossy(message.body()).into_owned()
}

#[derive(Default)]
pub struct Received {
    pub messages: Vec<MessageView>,
    /// By body, in the order of arrival.
    pub attempts: BTreeMap<String, Vec<i32>>,
    pub failures: usize,
}

impl Received {
    pub fn different(&self) -> usize {
        self.attempts.len()
    }
}

pub struct Receiving<'a> {
    pub topic: &'a str,
    pub filter: FilterExpression,
    pub invisible: Duration,
    pub ack: bool,
}

impl<'a> Receiving<'a> {
    pub fn all(topic: &'a str) -> Self {
        Receiving {
            topic,
            filter: FilterExpression::new(FilterType::Tag, "*"),
            invisible: Duration::from_secs(10),
            ack: true,
        }
    }

    /// Until so many different messages are there, or the time is over.
    pub async fn until(&self, from: &SimpleConsumer, limit: Duration, different: usize) -> Received {
        self.until_done(from, limit, |got| got.different() >= different).await
    }

    /// Until `done`, or the time is over.
    pub async fn until_done(
        &self,
        from: &SimpleConsumer,
        limit: Duration,
        done: impl Fn(&Received) -> bool,
    ) -> Received {
        let end = Instant::now() + limit;
        let mut got = Received::default();
        while !done(&got) && Instant::now() < end {
            let received = from.receive_with(self.topic, &self.filter, 16, self.invisible).await;
            let messages = match received {
                Ok(messages) => messages,
                Err(_) => {
                    // "No new message" is an error of this client.
                    got.failures += 1;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            for one in messages {
                if self.ack && from.ack(&one).await.is_err() {
                    got.failures += 1;
                }
                got.attempts.entry(body_of(&one)).or_default().push(one.delivery_attempt());
                got.messages.push(one);
            }
        }
        got
    }
}

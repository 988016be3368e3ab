//! `almoner usage add`

use almoner_api::Request;

use super::{budgets, labels, nano};
use crate::args::{Common, Usage};
use crate::client::who;
use crate::fail::Outcome;

pub(crate) fn run(common: &Common, command: Usage) -> Outcome {
    let Usage::Add { input, output, cost, label, reason } = command;
    let request =
        Request::AddUsage { labels: labels(&label)?, input, output, cost_nano: nano(&cost)?, reason, by: who() };
    budgets::done(common, &request)
}

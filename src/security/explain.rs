//! The verdict with its reasons, without a handshake: by the very code that decides.

use std::fmt;

use super::audit::Reason;
use super::counters::verdict;
use super::policy::Rule;
use super::zap::StatusCode;

/// Is told of each rule that a policy asks.
pub(crate) trait Trace {
    fn asked(&mut self, rule: Rule, passed: bool, detail: impl FnOnce() -> String);
}

/// Nobody wants to know: real decisions.
impl Trace for () {
    fn asked(&mut self, _: Rule, _: bool, _: impl FnOnce() -> String) {}
}

impl Trace for Vec<Step> {
    fn asked(&mut self, rule: Rule, passed: bool, detail: impl FnOnce() -> String) {
        self.push(Step {
            rule,
            passed,
            detail: detail(),
        });
    }
}

/// What would become of a peer, and by which rules.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// The status it would be answered.
    pub status: StatusCode,
    /// Why.
    pub reason: Reason,
    /// Whose policy decides.
    pub policy: PolicySource,
    /// The rules, in the order in which they were asked; the last one decided.
    pub steps: Vec<Step>,
}

/// Whose policy a domain is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicySource {
    /// The domain's own.
    Domain,
    /// The fallback, because the domain has none.
    Fallback,
    /// There is neither: everybody is refused.
    None,
}

/// A rule that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// The rule.
    pub rule: Rule,
    /// Whether the peer passed it.
    pub passed: bool,
    /// What was compared with what. Holds no secret.
    pub detail: String,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (status {})", verdict(self.status), self.status)?;
        if self.reason != Reason::Admitted {
            write!(f, ": {}", self.reason)?;
        }
        write!(
            f,
            "\n  policy: {}",
            match self.policy {
                PolicySource::Domain => "the domain's own",
                PolicySource::Fallback => "the fallback: the domain has none of its own",
                PolicySource::None => "none: the domain has no policy, and there is no fallback",
            }
        )?;
        self.steps
            .iter()
            .try_for_each(|step| write!(f, "\n  {}: {}", step.rule, step.detail))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rule::DenyList => "deny list",
            Rule::AllowList => "allow list",
            Rule::Mechanism => "mechanism",
            Rule::LockOut => "lock-out",
            Rule::Credential => "credential",
        })
    }
}

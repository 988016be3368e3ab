//! The body of a virtual key's row.

use std::collections::BTreeMap;

use almoner_units::{Limit, Timestamp};
use serde::{Deserialize, Serialize};

use super::WireError;
use super::parts::{LimitWire, labels_of, mode, priority};
use crate::keys::{KeyChange, StoredKey, StoredSecret};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredKeyWire {
    name: Option<String>,
    secrets: Vec<SecretWire>,
    labels: BTreeMap<String, String>,
    limits: Vec<LimitWire>,
    mode: String,
    models: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rpm: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tpm: Option<u64>,
    priority_max: String,
    created: u64,
    expires: Option<u64>,
    revoked: Option<u64>,
    note: String,
    changes: Vec<ChangeWire>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretWire {
    hash: [u8; 32],
    until: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeWire {
    at: u64,
    by: String,
    what: String,
}

impl From<&StoredKey> for StoredKeyWire {
    fn from(key: &StoredKey) -> Self {
        let secret =
            |secret: &StoredSecret| SecretWire { hash: secret.hash, until: secret.good_until.map(Timestamp::ms) };
        let change =
            |change: &KeyChange| ChangeWire { at: change.at.ms(), by: change.by.clone(), what: change.what.clone() };
        Self {
            name: key.name.clone(),
            secrets: key.secrets.iter().map(secret).collect(),
            labels: key.labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            limits: key.limits.iter().map(Into::into).collect(),
            mode: key.mode.name().to_owned(),
            models: key.models.clone(),
            rpm: key.rpm,
            tpm: key.tpm,
            priority_max: key.priority_max.name().to_owned(),
            created: key.created_at.ms(),
            expires: key.expires_at.map(Timestamp::ms),
            revoked: key.revoked_at.map(Timestamp::ms),
            note: key.note.clone(),
            changes: key.changes.iter().map(change).collect(),
        }
    }
}

impl StoredKeyWire {
    pub(crate) fn of(self, id: String) -> Result<StoredKey, WireError> {
        let secret =
            |secret: SecretWire| StoredSecret { hash: secret.hash, good_until: secret.until.map(Timestamp::from_ms) };
        let change =
            |change: ChangeWire| KeyChange { at: Timestamp::from_ms(change.at), by: change.by, what: change.what };
        Ok(StoredKey {
            id,
            name: self.name,
            secrets: self.secrets.into_iter().map(secret).collect(),
            labels: labels_of(self.labels)?,
            limits: self.limits.into_iter().map(Limit::try_from).collect::<Result<_, _>>()?,
            mode: mode(&self.mode)?,
            models: self.models,
            rpm: self.rpm,
            tpm: self.tpm,
            priority_max: priority(&self.priority_max)?,
            created_at: Timestamp::from_ms(self.created),
            expires_at: self.expires.map(Timestamp::from_ms),
            revoked_at: self.revoked.map(Timestamp::from_ms),
            note: self.note,
            changes: self.changes.into_iter().map(change).collect(),
        })
    }
}

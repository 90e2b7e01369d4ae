//! The names of the settings.

/// One setting. Its name in the file is [`Key::name`], its variable in the environment [`Key::variable`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Key {
    DataDir,
    DatabaseUrl,
    DatabaseConnections,
    PublicUrl,
    Catalogue,
    ImageFiles,
    SecretKeyFile,
    Demo,
    ListenHttp,
    ListenHttps,
    ListenMetrics,
    TlsCertificate,
    TlsSecret,
    QemuStateDir,
    QemuNetworking,
    WorkConcurrency,
    WorkLeaseSeconds,
    RetentionDays,
    SmtpUrl,
    SmtpPasswordFile,
    SmtpFrom,
    SmtpAuthority,
    LimitsRequestsPerHour,
    LimitsRequestsPerMinute,
    LogFormat,
    LogFilter,
}

impl Key {
    /// Every setting there is.
    pub(crate) const ALL: [Key; 26] = [
        Key::DataDir,
        Key::DatabaseUrl,
        Key::DatabaseConnections,
        Key::PublicUrl,
        Key::Catalogue,
        Key::ImageFiles,
        Key::SecretKeyFile,
        Key::Demo,
        Key::ListenHttp,
        Key::ListenHttps,
        Key::ListenMetrics,
        Key::TlsCertificate,
        Key::TlsSecret,
        Key::QemuStateDir,
        Key::QemuNetworking,
        Key::WorkConcurrency,
        Key::WorkLeaseSeconds,
        Key::RetentionDays,
        Key::SmtpUrl,
        Key::SmtpPasswordFile,
        Key::SmtpFrom,
        Key::SmtpAuthority,
        Key::LimitsRequestsPerHour,
        Key::LimitsRequestsPerMinute,
        Key::LogFormat,
        Key::LogFilter,
    ];

    /// Its name in the configuration file; a dot separates a table from its key.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Key::DataDir => "data_dir",
            Key::DatabaseUrl => "database_url",
            Key::DatabaseConnections => "database.connections",
            Key::PublicUrl => "public_url",
            Key::Catalogue => "catalogue",
            Key::ImageFiles => "image_files",
            Key::SecretKeyFile => "secret_key_file",
            Key::Demo => "demo",
            Key::ListenHttp => "listen.http",
            Key::ListenHttps => "listen.https",
            Key::ListenMetrics => "listen.metrics",
            Key::TlsCertificate => "tls.certificate",
            Key::TlsSecret => "tls.key",
            Key::QemuStateDir => "qemu.state_dir",
            Key::QemuNetworking => "qemu.networking",
            Key::WorkConcurrency => "work.concurrency",
            Key::WorkLeaseSeconds => "work.lease_seconds",
            Key::RetentionDays => "retention.days",
            Key::SmtpUrl => "smtp.url",
            Key::SmtpPasswordFile => "smtp.password_file",
            Key::SmtpFrom => "smtp.from",
            Key::SmtpAuthority => "smtp.authority",
            Key::LimitsRequestsPerHour => "limits.requests_per_hour",
            Key::LimitsRequestsPerMinute => "limits.requests_per_minute",
            Key::LogFormat => "log.format",
            Key::LogFilter => "log.filter",
        }
    }

    /// Its variable in the environment. `DATABASE_URL` is named as everybody names it.
    pub(crate) fn variable(self) -> String {
        match self {
            Key::DatabaseUrl => "DATABASE_URL".to_owned(),
            _ => format!("CAIRN_{}", self.name().replace('.', "_").to_uppercase()),
        }
    }

    /// Its flag on the command line (for those that have one).
    pub(crate) fn flag(self) -> String {
        if self == Key::ImageFiles {
            return "--image-file".to_owned();
        }
        format!("--{}", self.name().replace(['.', '_'], "-"))
    }
}

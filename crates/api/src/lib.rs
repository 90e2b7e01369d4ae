//! HTTP: handlers, authentication, OpenAPI

package tokenvault

import "net/http"

// SendWebhooksBy has v send webhooks by a transport of the test's, before it runs.
func SendWebhooksBy(v *Vault, by http.RoundTripper) { v.hooks.Transport = by }

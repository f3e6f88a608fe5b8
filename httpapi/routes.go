package httpapi

// browserRoutes is the API for browsers, below the mount. A user's session says
// who calls.
func browserRoutes() []route {
	return []route{
		raw[authorizeInput, none]("GET /oauth/authorize", "Go to the page on which the user confirms a connect. Stores nothing", authorize),
		raw[none, none]("GET /oauth/callback/{appId}", "Where a provider sends the browser back to", callback),
		raw[none, none]("GET /oauth/callback", "The same, for apps registered with the legacy callback", callback),

		handle("GET /providers", "List providers", listProviders),

		handle("GET /credentials", "List the user's connections and those shared with the user", listCredentials),
		handle("DELETE /credentials/{id}", "Revoke a connection, here at once and at the provider in the background", deleteCredential),

		handle("GET /oauth-config", "List registered OAuth apps, without secrets", listApps),
		handle("POST /oauth-config", "Register or replace an OAuth app", setApp),
		handle("GET /oauth-config/{providerId}", "Read an OAuth app, without its secret", getApp),
		handle("PUT /oauth-config/{providerId}", "Register or replace an OAuth app", putApp),
		handle("DELETE /oauth-config/{providerId}", "Delete an OAuth app", deleteApp),

		raw[authRequestInput, authRequestOutput]("GET /auth-requests/{id}", "Read an auth request; wait for it by long poll or server-sent events", showAuthRequest),
		handle("POST /auth-requests/{id}/decline", "Decline an auth request", declineAuthRequest),

		handle("POST /browser-login/start", "Start a browser login (not enabled)", browserLogin),
		handle("GET /browser-login/status", "Status of a browser login (not enabled)", browserLogin),
		handle("POST /browser-login/complete", "Complete a browser login (not enabled)", browserLogin),
	}
}

// v1Routes is the API for agents and back ends. An API key says who calls.
func v1Routes() []route {
	return []route{
		handle("POST /v1/credentials/{providerId}/resolve", "Get access, or 428 with the auth request that the owner has to settle first", resolve),
		raw[authRequestInput, authRequestOutput]("GET /v1/auth-requests/{id}", "Read an auth request; wait for it by long poll or server-sent events", showAuthRequest),

		handle("POST /v1/auth-requests/{id}/complete", "End a connect for the user in whose browser the handle arrived (back ends, mode verifier)", completeConnect),

		handle("POST /v1/sessions", "Open a session of a user for the pages of one origin, for at most 15 minutes (back ends)", createSession),

		handle("GET /v1/connections", "List the owner's connections", listConnections),
		handle("DELETE /v1/connections/{id}", "Revoke a connection (back ends)", deleteConnection),
		handle("GET /v1/permissions", "List what the owner permitted to agents", listPermissions),
		handle("DELETE /v1/permissions/{id}", "Withdraw a permission (back ends)", deletePermission),
		handle("GET /v1/providers", "List providers", pageProviders),

		handle("GET /v1/apps", "List OAuth apps, without secrets (administrators)", pageApps),
		handle("POST /v1/apps", "Register or replace an OAuth app (administrators)", setApp),
		handle("DELETE /v1/apps/{providerId}", "Delete an OAuth app (administrators)", deleteApp),
		handle("GET /v1/keys", "List API keys (administrators)", listKeys),
		handle("POST /v1/keys", "Create an API key; its text is answered this once (administrators)", createKey),
		handle("DELETE /v1/keys/{id}", "Revoke an API key (administrators)", deleteKey),
		raw[none, none]("GET /v1/openapi.json", "This description", serveOpenAPI),
		handle("GET /v1/audit", "List audit entries in the order they were written (administrators)", listAudit),
	}
}

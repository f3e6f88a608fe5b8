package pages

import (
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// This file and codes.go hold all that the pages say, save the words for scopes.

const (
	textBrand  = "tokenvault"
	textFooter = "Credentials are kept encrypted in the vault. They are never shown in a chat."

	textDetails      = "Details"
	textFactAccount  = "Account"
	textFactOwner    = "Belongs to"
	textFactRelease  = "How it is used"
	textFactDuration = "Allowed for"
	textFactExpiry   = "Open until"
	textOrganization = "Your organization, not you alone"

	textChoices        = "Accounts"
	textUnnamedAccount = "Account without a name"
	textOther          = "Connect another account"
	textBeside         = "A new one is connected beside the one that is there, which stays as it is."

	textDecline    = "Decline"
	textNothingYet = "Nothing has been stored. If you did not mean to do this, close this window."

	textVisitor = "If you did not expect this, close this window. Nothing changes then."

	textAdministrator = "An administrator has to act"
	textConnectOwn    = "Connect an account of your own"

	textAs      = "Connected as"
	textLeaving = "You are leaving this page for"

	textGoingBack = "You are going back to"
	textGoBack    = "Go back"

	textWhere   = "Where to find it"
	textSubmit  = "Connect"
	textGetCode = "Get a code"
	textOpen    = "Open"
	textEntered = "I have entered it"

	textCodeWarning = "Enter it there yourself, and give it to nobody. A code that somebody sent you would connect your account for them: never enter one."

	textContinue   = "Continue"
	textEnterNext  = "Next, you enter what the service issued to you."
	textSubmitNext = "It goes to the vault only, which asks the service whether it works before anything is kept. It is not shown again, here or in a chat."
)

func codeHeading(provider string) string { return "Enter this code at " + provider }

func codeWait(provider string) string {
	return "Sign in and agree at " + provider + ", then come back. If this page does not go on by itself, press the button."
}

func codeNext(provider string) string {
	return "Next, you get a code, which you enter at " + provider + " while you are signed in there."
}

func confirmNext(provider string) string {
	return "Nobody has to sign in at " + provider + ": the account is that of the registration which this vault has there."
}

func inputsTitle(provider string) string { return "From your " + provider + " account" }

// fieldText says what is wrong with what was entered. The reason is the vault's own.
func fieldText(label, reason string) string { return label + ": " + reason + "." }

func askHeading(reason tokenvault.Reason, provider string) string {
	switch reason {
	case tokenvault.ReasonExpired, tokenvault.ReasonRevoked:
		return "Reconnect " + provider
	case tokenvault.ReasonInsufficientScope:
		return "Allow more access to " + provider
	case tokenvault.ReasonPermissionRequired:
		return "Allow the use of " + provider
	case tokenvault.ReasonChooseAccount:
		return "Choose a " + provider + " account"
	case tokenvault.ReasonMissing:
	}
	return "Connect " + provider
}

// askLead follows the agent's name if there is one.
func askLead(agent string, organization bool, provider string) string {
	switch {
	case agent != "" && organization:
		return "asks to use a " + provider + " account of your organization."
	case agent != "":
		return "asks to use your " + provider + " account."
	case organization:
		return "You are about to connect a " + provider + " account for your organization."
	}
	return "You are about to connect your " + provider + " account."
}

func askWhy(reason tokenvault.Reason, provider string) string {
	switch reason {
	case tokenvault.ReasonMissing:
		return "No " + provider + " account is connected yet."
	case tokenvault.ReasonExpired:
		return "The connection to " + provider + " has ended and has to be renewed."
	case tokenvault.ReasonRevoked:
		return "The connection to " + provider + " was withdrawn."
	case tokenvault.ReasonInsufficientScope:
		return "What you allowed so far is not enough for this."
	case tokenvault.ReasonPermissionRequired:
		return "The account is connected already. You have not allowed this use of it yet."
	case tokenvault.ReasonChooseAccount:
		return "More than one account is connected. Only the one that you choose will be used."
	}
	return ""
}

func askNext(reason tokenvault.Reason, provider string) string {
	switch reason {
	case tokenvault.ReasonPermissionRequired, tokenvault.ReasonChooseAccount:
		return "You do not have to sign in at " + provider + " again."
	case tokenvault.ReasonMissing, tokenvault.ReasonExpired, tokenvault.ReasonRevoked, tokenvault.ReasonInsufficientScope:
	}
	return "Next, " + provider + " asks you to sign in and to agree."
}

func askSubmit(reason tokenvault.Reason, provider string) string {
	switch reason {
	case tokenvault.ReasonPermissionRequired:
		return "Allow"
	case tokenvault.ReasonChooseAccount:
		return "Use this account"
	case tokenvault.ReasonMissing, tokenvault.ReasonExpired, tokenvault.ReasonRevoked, tokenvault.ReasonInsufficientScope:
	}
	return "Continue to " + provider
}

func declineMeaning(agent bool) string {
	if agent {
		return "If you did not expect this, decline. The agent is told, and nothing changes."
	}
	return "If you did not expect this, decline. Nothing changes then."
}

// releaseText says in which form the agent gets to use the account.
func releaseText(release tokenvault.Release, p tokenvault.Provider) (value, note string) {
	if p.APIKey != nil {
		return keyReleaseText(release)
	}
	if p.Login != nil {
		return loginReleaseText(release, p.UsageMode)
	}
	provider := p.Name
	if release == tokenvault.ReleaseToken {
		return "The agent receives the access token itself.",
			"It can then use " + provider + " directly until the token expires."
	}
	return "The agent may use it on your behalf without seeing the token.", ""
}

func keyReleaseText(release tokenvault.Release) (value, note string) {
	if release == tokenvault.ReleaseToken {
		return "The agent receives what you enter.", "It works until you end it where it was issued."
	}
	return "The agent may use it on your behalf without seeing it.", ""
}

func scopesTitle(redirect bool, provider string) string {
	if redirect {
		return "What " + provider + " will be asked to allow"
	}
	return "What will be allowed"
}

func scopesNone(redirect bool, provider string) string {
	if !redirect {
		return "All that " + provider + " was asked to allow when the account was connected."
	}
	return "Nothing in particular: what " + provider + " allows by default."
}

// durations are what a person may choose from; the first is the default.
func durations() []duration {
	const day = 24 * time.Hour
	return []duration{
		{"", "Until you withdraw it", 0},
		{"1h", "1 hour", time.Hour},
		{"24h", "1 day", day},
		{"720h", "30 days", 30 * day},
		{"2160h", "90 days", 90 * day},
	}
}

// permissionTTL reads the duration that a person chose.
func permissionTTL(value string) (time.Duration, error) {
	for _, d := range durations() {
		if d.Value == value {
			return d.ttl, nil
		}
	}
	return 0, &tokenvault.FieldError{Field: fieldTTL, Reason: "must be one of those that the page offers"}
}

// choiceNote says what comes of choosing c, which covers what is asked for or not.
func choiceNote(c tokenvault.Connection, covers bool) string {
	switch {
	case c.Status == tokenvault.ConnectionNeedsReauth:
		return "Has to be reconnected before it can be used"
	case !covers:
		return "Has to allow more before it can be used"
	case c.Shared():
		return "Shared by your organization"
	}
	return ""
}

func leaveHeading(provider string) string { return "Continue to " + provider }

// resultText says how a settled request ended.
func resultText(req tokenvault.AuthRequest) message {
	next := textClose
	if req.AgentID != "" {
		next = textCloseAgent
	}
	switch req.Status {
	case tokenvault.AuthConnected:
		return message{"", connectedTitle(req), "", next}
	case tokenvault.AuthDeclined:
		return message{
			"", "You declined", "Nothing was connected, and nothing was allowed.",
			"You can close this window and go back. If it was a mistake, ask for the same thing again: that makes a new link.",
		}
	case tokenvault.AuthExpired:
		return message{
			"", "This request has expired", "Nobody answered it in time. Nothing was connected.",
			"Close this window, go back, and ask for the same thing again: that makes a new link.",
		}
	case tokenvault.AuthPending, tokenvault.AuthFailed:
	}
	if m, ok := loginFailure(req); ok {
		return m
	}
	if req.FailureCode == tokenvault.FailScopeNotGranted {
		return message{
			"", "Some access is missing", req.ProviderName + " is connected, but without all of the access that was asked for.",
			"Go back and ask again. On the page of " + req.ProviderName + ", leave everything selected, or ask for less.",
		}
	}
	return message{
		"", req.ProviderName + " could not be connected", req.ProviderName + " refused for good. Nothing was connected.",
		"Go back and try again later. If it stays like this, tell the people who run this service.",
	}
}

func connectedTitle(req tokenvault.AuthRequest) string {
	switch req.Reason {
	case tokenvault.ReasonPermissionRequired, tokenvault.ReasonChooseAccount:
		return req.ProviderName + " may be used now"
	case tokenvault.ReasonMissing, tokenvault.ReasonExpired, tokenvault.ReasonRevoked, tokenvault.ReasonInsufficientScope:
	}
	return req.ProviderName + " is connected"
}

const (
	textClose      = "You can close this window and go back."
	textCloseAgent = "You can close this window and go back. The agent carries on by itself."
)

func administratorText(provider string) (text, next string) {
	return "The " + provider + " account that your organization shares has to be reconnected. Only an administrator of your organization can do that.",
		"Once it is done, the agent carries on by itself. You may also connect an account of your own: it is used instead from then on."
}

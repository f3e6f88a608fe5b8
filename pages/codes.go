package pages

// The codes that the callback and the forms use in URLs. A code picks a text and
// is never shown itself.
const (
	codeStateInvalid    = "state_invalid"
	codeSignedOut       = "signed_out"
	codeExpired         = "expired"
	codeConflict        = "conflict"
	codeProviderError   = "provider_error"
	codeAccountMismatch = "account_mismatch"
	codeUnavailable     = "unavailable"
	codeDeclined        = "declined"
	codeNoApp           = "no_app"
	codeInternal        = "internal"

	// Those below come from the pages themselves.
	codeSignIn          = "sign_in"
	codeNotFound        = "not_found"
	codeUnknownProvider = "unknown_provider"
	codeInvalid         = "invalid"
	codeCrossSite       = "cross_site"
	codeChooseOne       = "choose_one"
	codeRateLimited     = "rate_limited"
	codeAdministrator   = "administrator"
	codeNoProof         = "no_proof"
	codeCodeOver        = "code_over"
	codeRefused         = "refused"
	codeServiceAway     = "service_away"
	codeServiceError    = "service_error"
	codeAccountTaken    = "account_taken"
	codeName            = "name"
	codeNoBrowser       = "no_browser"
	codeNotSignedIn     = "not_signed_in"
)

// A message is a text with what to do next.
type message struct{ Code, Title, Text, Next string }

// knownCode returns the code if there is a text for it, else codeInternal.
func knownCode(code string) string { return codeText(code).Code }

// codeText returns the text of a code; the one of codeInternal if it is unknown.
func codeText(code string) *message {
	for _, m := range codeTexts() {
		if m.Code == code {
			return &m
		}
	}
	return &message{
		codeInternal, "Something went wrong",
		"The vault could not finish this. Nothing was connected.",
		"Open the link again. If it stays like this, tell the people who run this service.",
	}
}

func codeTexts() []message {
	return []message{
		{
			codeStateInvalid, "This sign-in cannot be finished here",
			"It was begun in another browser or by another user, it was finished before, or it took too long. Nothing was connected.",
			"Open the link again, in the browser in which you are signed in, and go through it once.",
		},
		{
			codeSignedOut, "You were signed out in between",
			"When you came back, it could not be proven that it is still you. Nothing was connected.",
			"Sign in at the application that sent you here, then open the link again.",
		},
		{
			codeExpired, "This request has expired",
			"It was not finished in time. Nothing was connected.",
			"Go back and ask for the same thing again: that makes a new link.",
		},
		{
			codeConflict, "This was decided already",
			"The request was answered in another window, or changed in the meantime.",
			"Close this window and go back. If something is still missing, ask again.",
		},
		{
			codeProviderError, "The service did not agree",
			"It answered with an error when you came back from it. Nothing was connected.",
			"Try again. If it stays like this, wait a while, or tell the people who run this service.",
		},
		{
			codeAccountMismatch, "That is another account",
			"You signed in with another account than the one that is connected here. The connection was left as it is.",
			"Try again, and choose the same account at the service. Or connect the other account as well, beside this one.",
		},
		{
			codeUnavailable, "The vault cannot be reached just now",
			"Nothing was changed.",
			"Wait a minute, then open the link again.",
		},
		{
			codeDeclined, "You declined",
			"Nothing was connected, and nothing was allowed.",
			"You can close this window and go back.",
		},
		{
			codeNoApp, "This service is not set up yet",
			"The vault has no registration with it, so nobody can connect it.",
			"Ask an administrator to register an app for it, then open the link again.",
		},

		{
			codeSignIn, "Please sign in first",
			"This page is shown only to the person it is meant for.",
			"Sign in at the application that sent you here, then open this link again.",
		},
		{
			codeNotFound, "There is nothing here for you",
			"The link is not complete, or it is meant for another user.",
			"Check that you are signed in as the right user, and open the whole link.",
		},
		{
			codeUnknownProvider, "This service is not known here",
			"The link names a service that this vault does not offer.",
			"Go back to the application that sent you here, and choose another.",
		},
		{
			codeInvalid, "This link does not work",
			"Something in it is not allowed here. Nothing was connected.",
			"Go back to the application that sent you here, and start again.",
		},
		{
			codeCrossSite, "This came from another site",
			"Only our own pages may do this. Nothing was changed.",
			"Open the link itself, and use the buttons there.",
		},
		{
			codeRateLimited, "That was too often",
			"You tried more often than is allowed in so short a time. Nothing was changed.",
			"Wait a minute, then open the link again.",
		},
		{
			codeChooseOne, "No account is chosen yet",
			"Nothing was changed.",
			"Choose one of the accounts below.",
		},
		{
			codeAdministrator, "Only an administrator may do this",
			"An account of the whole organization is connected by somebody who administers it. Nothing was changed.",
			"Ask an administrator of your organization, or connect an account of your own.",
		},
		{
			codeNoBrowser, "No browser is free just now",
			"The server could not open one. Nothing was connected.",
			"Wait a minute, then try again. If it stays like this, tell the people who run this service.",
		},
		{
			codeNotSignedIn, "You are not signed in yet",
			"The vault looked, and nobody was signed in. Nothing was connected.",
			"Finish signing in, with every step that the service asks for, then try again.",
		},
		{
			codeNoProof, "This service cannot be connected here",
			"It is connected by what you enter, and here it cannot be proven first who you are.",
			"Tell the people who run this service.",
		},
		{
			codeCodeOver, "That code is of no use any more",
			"It was not entered in time, or this is not the browser in which you got it. Nothing was connected.",
			"Get a new one below.",
		},
		{
			codeRefused, "That did not work",
			"Nothing was stored.",
			"See below what to change, and enter everything once more.",
		},
		{
			codeServiceAway, "The service cannot be asked just now",
			"Nothing was stored.",
			"Wait a minute, then try again.",
		},
		{
			codeServiceError, "The service answered in an unexpected way",
			"Nothing was stored.",
			"Try again. If it stays like this, tell the people who run this service.",
		},
		{
			codeAccountTaken, "There is a connection to this account already",
			"It is where this one would go, and an account is connected there once. Nothing was changed.",
			"Disconnect that one first.",
		},
		{
			codeName, "The account cannot be called that",
			"A name has at most 80 characters, on one line, and none that are invisible. Nothing was changed.",
			"Choose another name.",
		},
	}
}

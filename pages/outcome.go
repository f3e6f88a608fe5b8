package pages

import (
	"net/url"

	"github.com/ai-token-vault/tokenvault"
)

// outcome is the page that says how something ended: a settled request, or what
// stands in the way.
type outcome struct {
	frame
	message
	Account string // the account that is connected now; empty: unknown or none
	As      string
	Alert   bool // interrupts a screen reader

	LinkURL, Link string // what may be done instead; empty: nothing
	MoreURL, More string // where to look further; empty: nowhere
}

func (outcome) templateName() string { return "outcome" }

// resultView shows how a request ended.
func resultView(req tokenvault.AuthRequest, account string) outcome {
	m := resultText(req)
	v := outcome{
		frame:   frame{Heading: m.Title, Tone: "stop"},
		message: m, Account: account, As: textAs,
	}
	v.Tell = tell{Type: tellError, ProviderID: req.ProviderID, RequestID: req.ID, Status: string(req.Status), Error: string(req.Status)}
	switch req.Status {
	case tokenvault.AuthConnected:
		v.Tone = "done"
		v.Tell.Type, v.Tell.Error, v.Tell.Close = tellComplete, "", true
	case tokenvault.AuthDeclined:
		v.Tell.Close = true
	case tokenvault.AuthFailed:
		v.Tell.Error = knownFailure(req.FailureCode)
	case tokenvault.AuthPending, tokenvault.AuthExpired:
	}
	return v
}

// administratorView is for a member who is shown what an administrator of the
// organization has to do.
func administratorView(req tokenvault.AuthRequest) outcome {
	v := outcome{frame: frame{Heading: textAdministrator, Tone: "stop"}, Link: textConnectOwn}
	v.Text, v.Next = administratorText(req.ProviderName)
	v.LinkURL = newURL(newConnect{providerID: req.ProviderID})
	return v
}

// knownFailure returns the failure code if it is one of ours.
func knownFailure(code string) string {
	switch code {
	case tokenvault.FailScopeNotGranted, tokenvault.FailProvider, tokenvault.FailLoginIdle, tokenvault.FailLoginTimeout,
		tokenvault.FailLoginInterrupted, tokenvault.FailBrowserCrashed, tokenvault.FailBrowserFailed:
		return code
	}
	return string(tokenvault.AuthFailed)
}

// messageView shows the text of a code.
func messageView(code string) outcome {
	m := codeText(code)
	return outcome{frame: frame{Heading: m.Title, Tone: "stop"}, message: *m, Alert: true}
}

// leave is the page between ours and the provider's.
type leave struct {
	frame
	URL, Host, Lead, Link string
}

func (leave) templateName() string { return "leave" }

func leaveView(req tokenvault.AuthRequest, to *url.URL) leave {
	return leave{
		frame: frame{Heading: leaveHeading(req.ProviderName), Tone: "ask", Tell: tell{RequestID: req.ID, Remember: true}},
		URL:   to.String(), Host: to.Host, Lead: textLeaving, Link: leaveHeading(req.ProviderName),
	}
}

// backView leads back to the application.
func backView(req tokenvault.AuthRequest, to *url.URL) leave {
	return leave{
		frame: frame{Heading: resultText(req).Title, Tone: "done"},
		URL:   to.String(), Host: to.Host, Lead: textGoingBack, Link: textGoBack,
	}
}

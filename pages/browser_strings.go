package pages

import "github.com/ai-token-vault/tokenvault"

// What the page of a live view says.
const (
	textOpenBrowser   = "Open the browser"
	textBrowserWhere  = "You sign in yourself, in a browser on the server that you see and control here. What you type goes to that page only, and is kept nowhere."
	textNoScript      = "Seeing and controlling the browser needs JavaScript. Turn it on for this page, or open the link in another browser."
	textBar           = "Browser"
	textBack          = "Back"
	textReload        = "Reload"
	textKeyboard      = "Show the keyboard"
	textTabs          = "Tabs"
	textOpenElsewhere = "Open the browser"
	textCopied        = "Copied in the browser"
	textCopiedClose   = "Clear"
	textFinish        = "I am signed in"
	textCancel        = "Cancel"
	textTimeLeft      = "Time left:"
	textLeave         = "The picture is of the browser on the server: screen readers cannot read it, and its address stands above it. Keys go to it while it has the focus. F6, or Escape twice, leads out of it."
	textSays          = "says"
	textAnswer        = "Answer"
	textOK            = "OK"
	textWantsPassword = "asks for a name and a password"
	textName          = "Name"
	textPassword      = "Password"
	textWantsFiles    = "The page asks for files"
	textFiles         = "Files, 8 MB at most"
)

func browserHeading(provider string) string { return "Sign in to " + provider }

func browserScreen(provider string) string { return "Browser, at " + provider + ". Type here." }

func browserMeaning(agent bool) string {
	if agent {
		return "Cancelling closes the browser and keeps nothing. The agent is told."
	}
	return "Cancelling closes the browser and keeps nothing."
}

func browserNext(provider string) string {
	return "Next, a browser opens on the server. You see it here, and sign in at " + provider + " yourself."
}

// loginReleaseText says in which form the agent gets to use a browser login.
func loginReleaseText(release tokenvault.Release, mode tokenvault.UsageMode) (value, note string) {
	switch {
	case release == tokenvault.ReleaseToken:
		return "The agent receives the cookies of your login.", "With them it can do what you can do there, until you sign out of all devices."
	case mode == tokenvault.UsageSession:
		return "The agent may use the signed-in browser, without its cookies being handed out.", "It can do there what you can do."
	}
	return "The agent may use your login on your behalf without seeing its cookies.", ""
}

// loginFailure says why a login in a browser came to nothing.
func loginFailure(req tokenvault.AuthRequest) (message, bool) {
	const kept = " Nothing was kept, and nothing was connected."
	again := "Close this window, go back, and ask for the same thing again: that makes a new link."
	switch req.FailureCode {
	case tokenvault.FailLoginIdle:
		return message{"", "The browser was closed", "Nobody did anything in it for a while." + kept, again}, true
	case tokenvault.FailLoginTimeout:
		return message{"", "The time for signing in is over", "The browser was closed." + kept, again}, true
	case tokenvault.FailLoginInterrupted:
		return message{"", "The browser was interrupted", "The server that ran it was stopped." + kept, again}, true
	case tokenvault.FailBrowserCrashed:
		return message{"", "The browser has crashed", "It may have needed too much memory." + kept, again}, true
	case tokenvault.FailBrowserFailed:
		return message{"", "No browser could be started", "Something is wrong on the server." + kept, "Tell the people who run this service."}, true
	}
	return message{}, false
}

// browserTexts are what the script says, by the names that it knows them by.
func browserTexts() []named {
	return []named{
		{"connecting", "The live view is being opened."},
		{"open", "The browser is shown. Its first page is the sign-in page."},
		{"reconnecting", "The connection was lost. Trying again."},
		{"noWebSocket", "The live view cannot be opened: it needs a WebSocket connection, which something between you and the vault does not let through. Trying again."},
		{"replaced", "The browser is shown in another window now."},
		{"takeOver", "Show it here"},
		{"over", "The browser was closed."},
		{"gone", "The server that runs the browser cannot be reached just now."},
		{"queued", "All browsers are in use. Your place in the queue is %d."},
		{"starting", "The browser is starting."},
		{"elsewhere", "The browser is shown by the service that runs it: open it with the button below."},
		{"window", "The browser is a window on the machine of the vault: sign in there."},
		{"blank", "No page yet"},
		{"secure", "Secure"},
		{"insecure", "Not secure"},
		{"closeTab", "Close"},
		{"blocked", "The page wanted to go to %s, which is not part of signing in. It was kept here."},
		{"copied", "Copied to your clipboard."},
		{"tooLarge", "Those files are too large: 8 MB at most."},
		{"beforeunload", "Leave this page? What you entered may be lost."},
		{"checking", "Checking whether you are signed in."},
		{"not_signed_in", "You are not signed in yet. Finish every step that the service asks for, then try again."},
		{"unavailable", "It could not be told whether you are signed in. It is tried again."},
		{"account_mismatch", "That is another account than the one that was connected before."},
	}
}

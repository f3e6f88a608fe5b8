package signin

// What the sign-in page says.

func textSignIn() view {
	return view{
		Title:  "Sign in to tokenvault",
		Text:   "This browser will be recognised as yours for 30 days. Go on only if the link came from your own terminal.",
		Button: "Sign in on this browser",
	}
}

func textSignedIn() view {
	return view{
		Title:    "This browser is signed in",
		Text:     "You can open connect links in it now.",
		LinkText: "Continue",
	}
}

func textNoLink() view {
	return view{
		Title: "This browser is not signed in",
		Text: "Open the sign-in link that tokenvault printed in the terminal when it started, in this browser. " +
			"Then open this page's link again. The sign-in link works once, for 15 minutes; restarting tokenvault prints a new one.",
	}
}

func textBadLink() view {
	return view{
		Title: "This sign-in link does not work any more",
		Text:  "It was used already, or it is older than 15 minutes. Restart tokenvault to get a new one in the terminal.",
		Alert: true,
	}
}

func textTooFast() view {
	return view{
		Title: "Too many sign-in links were tried",
		Text:  "Wait a minute, then open the link from your terminal again: it still works.",
		Alert: true,
	}
}

func textWrongHost() view {
	return view{
		Title: "Open tokenvault by its local address",
		Text:  "It answers on this machine only, at a name such as 127.0.0.1 or localhost.",
		Alert: true,
	}
}

func textCrossSite() view {
	return view{
		Title: "This came from another site",
		Text:  "Nothing was changed. Open the sign-in link from your terminal, and use the button there.",
		Alert: true,
	}
}

func textNotKept() view {
	return view{
		Title: "You could not be signed in",
		Text:  "The data directory cannot be written. Make room or correct its permissions, then use the link again: it still works.",
		Alert: true,
	}
}

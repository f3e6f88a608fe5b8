package signin

// What the pages of the modes that keep a session in a cookie say.

func textElsewhere() view {
	return view{
		Title: "This came from another site",
		Text:  "Nothing was changed. Go back to the application and start again from there.",
		Alert: true,
	}
}

func textRefused() view {
	return view{
		Title: "You could not be signed in",
		Text:  "What came along was not valid, or too old. Go back to the application and try again. If it happens again, its operator finds the reason in the vault's log.",
		Alert: true,
	}
}

func textNoServer() view {
	return view{
		Title: "You cannot be signed in now",
		Text:  "The sign-in server does not answer as it should. Try again in a while. The operator finds the reason in the vault's log.",
		Alert: true,
	}
}

func textNotSignedOut() view {
	return view{
		Title: "You are not signed out yet",
		Text:  "The vault cannot end your session now. Try again in a moment.",
		Alert: true,
	}
}

func textSignedOut() view {
	return view{
		Title: "You are signed out",
		Text:  "This browser is nobody's now. You can close the window.",
	}
}

// SPDX-License-Identifier: Apache-2.0

package documents

// letterLanguage is what an invitation says in one language. The names of fields and
// buttons are those that the portal shows in it.
type letterLanguage struct {
	title, why string
	field      string // of the portal, for the code
	button     string // of the portal, below it
	enter      string // of the portal, to log in
	until      string // with the last day
	what       string
	steps      [3]string // the first with the address
	care, help string
}

var letterItalian = letterLanguage{
	title:  "Il tuo codice di invito",
	why:    "Con questo codice colleghi il tuo accesso al portale dei pagamenti della scuola: vedi gli avvisi che ti riguardano, li paghi e ne scarichi le ricevute. Se hai SPID o CIE entra con quelli: il codice non serve.",
	field:  "Codice di invito",
	button: "Collega",
	enter:  "Accedi",
	until:  "Valido fino al %s compreso",
	what:   "Che cosa fare",
	steps: [3]string{
		"Apri %s, o inquadra il codice QR, e registrati: ti servono il tuo codice fiscale e un indirizzo email.",
		"Conferma l'indirizzo dalla mail che ricevi. Con la mail successiva arrivano username e password: premi «Accedi», entra e scegli la tua password.",
		"Nella pagina Home scrivi il codice di questa lettera sotto «Codice di invito» e premi «Collega».",
	},
	care: "Il codice vale una volta sola, e solo insieme al tuo codice fiscale. Non darlo ad altri: se perdi la lettera dillo alla segreteria, che la annulla e te ne dà un'altra.",
	help: "Per chiedere aiuto:",
}

// letterWords are the languages that may stand below Italian.
var letterWords = map[string]*letterLanguage{
	"en": {
		title:  "Your invitation code",
		why:    "With the code in this letter you link your account on the school's payment portal: you see the notices that concern you, pay them and download the receipts. If you have SPID or CIE, log in with them: you do not need the code.",
		field:  "Invitation code",
		button: "Link",
		enter:  "Log in",
		until:  "Valid until %s included.",
		what:   "What to do",
		steps: [3]string{
			"Open %s, or scan the QR code, and register: you need your Italian fiscal code and an e-mail address.",
			"Confirm the address from the mail you receive. The next mail brings your username and password: press “Log in”, enter and choose a password of your own.",
			"On the page “Home” write the code of this letter under “Invitation code” and press “Link”.",
		},
		care: "The code works once, and only together with your fiscal code. Give it to nobody: if you lose the letter, tell the school office, which cancels it and gives you another.",
		help: "To ask for help:",
	},
	"de": {
		title:  "Ihr Einladungscode",
		why:    "Mit dem Code in diesem Brief verknüpfen Sie Ihren Zugang zum Zahlungsportal der Schule: Sie sehen die Zahlungsmitteilungen, die Sie betreffen, bezahlen sie und laden die Quittungen herunter. Wenn Sie SPID oder CIE haben, treten Sie damit ein: Sie brauchen den Code nicht.",
		field:  "Einladungscode",
		button: "Verknüpfen",
		enter:  "Anmelden",
		until:  "Gültig bis einschließlich %s.",
		what:   "Was zu tun ist",
		steps: [3]string{
			"Öffnen Sie %s oder scannen Sie den QR-Code, und registrieren Sie sich: Sie brauchen Ihre Steuernummer (codice fiscale) und eine E-Mail-Adresse.",
			"Bestätigen Sie die Adresse über die E-Mail, die Sie erhalten. Die nächste E-Mail bringt Benutzername und Passwort: Drücken Sie „Anmelden“, melden Sie sich an und wählen Sie ein eigenes Passwort.",
			"Schreiben Sie auf der Seite „Startseite“ den Code dieses Briefes unter „Einladungscode“ und drücken Sie „Verknüpfen“.",
		},
		care: "Der Code gilt einmal und nur zusammen mit Ihrer Steuernummer. Geben Sie ihn niemandem: Wenn Sie den Brief verlieren, sagen Sie es dem Schulsekretariat, das ihn sperrt und Ihnen einen neuen gibt.",
		help: "Hilfe erhalten Sie hier:",
	},
	"fr": {
		title:  "Votre code d’invitation",
		why:    "Avec le code de cette lettre, vous reliez votre compte au portail de paiement de l’école : vous voyez les avis qui vous concernent, vous les payez et vous téléchargez les reçus. Si vous avez SPID ou CIE, entrez avec eux : le code ne sert pas.",
		field:  "Code d’invitation",
		button: "Relier",
		enter:  "Se connecter",
		until:  "Valable jusqu’au %s inclus.",
		what:   "Que faire",
		steps: [3]string{
			"Ouvrez %s, ou scannez le code QR, et inscrivez-vous : il vous faut votre code fiscal et une adresse e-mail.",
			"Confirmez l’adresse depuis le message que vous recevez. Le message suivant apporte nom d’utilisateur et mot de passe : appuyez sur « Se connecter », entrez et choisissez votre mot de passe.",
			"Sur la page « Accueil », écrivez le code de cette lettre sous « Code d’invitation » et appuyez sur « Relier ».",
		},
		care: "Le code sert une seule fois, et seulement avec votre code fiscal. Ne le donnez à personne : si vous perdez la lettre, dites-le au secrétariat de l’école, qui l’annule et vous en donne une autre.",
		help: "Pour demander de l’aide :",
	},
	"sl": {
		title:  "Vaša koda vabila",
		why:    "S kodo iz tega pisma povežete svoj račun na plačilnem portalu šole: vidite obvestila, ki se tičejo vas, jih plačate in prenesete potrdila. Če imate SPID ali CIE, vstopite z njima: kode ne potrebujete.",
		field:  "Koda vabila",
		button: "Poveži",
		enter:  "Prijava",
		until:  "Velja do vključno %s.",
		what:   "Kaj storiti",
		steps: [3]string{
			"Odprite %s ali poskenirajte kodo QR in se registrirajte: potrebujete svojo davčno številko (codice fiscale) in e-poštni naslov.",
			"Potrdite naslov iz sporočila, ki ga prejmete. Naslednje sporočilo prinese uporabniško ime in geslo: pritisnite »Prijava«, vstopite in si izberite svoje geslo.",
			"Na strani »Domov« vpišite kodo iz tega pisma pod »Koda vabila« in pritisnite »Poveži«.",
		},
		care: "Koda velja enkrat in samo skupaj z vašo davčno številko. Ne dajte je nikomur: če pismo izgubite, to povejte tajništvu šole, ki ga prekliče in vam da drugo.",
		help: "Za pomoč:",
	},
}

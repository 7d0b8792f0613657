# SPDX-License-Identifier: Apache-2.0
"""Calls the thirteen operations of the two faces with a SOAP client that is not
ours, and prints what they answered as JSON: {operation: answer}.

Arguments: the folder of the official WSDLs and the address of the faces. The
data of the notices come as JSON on the standard input.
"""
import base64
import json
import sys
from decimal import Decimal

import zeep
from zeep.helpers import serialize_object


class Offline(zeep.Transport):
    """Loads nothing from the network: the WSDLs must be complete."""

    def _load_remote_data(self, url):
        raise RuntimeError("not on this machine: " + url)


def service(name, path):
    client = zeep.Client("%s/%s.wsdl" % (wsdls, name), transport=Offline(timeout=30, operation_timeout=30))
    (svc,) = client.wsdl.services.values()
    (port,) = svc.ports.values()
    # The address in the WSDL is the nation's.
    return client.create_service(port.binding.name, address + path)


wsdls, address = sys.argv[1:]
data = json.load(sys.stdin)
node = service("nodeForPsp", "/soap/node-for-psp")
creditor = service("paForNode", "/soap/pa-for-node")
answers = {}


def call(operation, **arguments):
    svc = creditor if operation.startswith("pa") else node
    answer = getattr(svc, operation)(**arguments)
    answers[operation] = serialize_object(answer, dict)
    return answer


amount = Decimal(data["amount"])
psp = data["psp"]  # idPSP, idBrokerPSP, idChannel, password
school = data["school"]
station = {"idPA": school, "idBrokerPA": school, "idStation": school + "_01"}
notices = data["notices"]
subject = {
    "uniqueIdentifier": {"entityUniqueIdentifierType": "F", "entityUniqueIdentifierValue": "RSSMRA80A01H501U"},
    "fullName": "Niccolò D'Àncona & figli <3>",
    "e-mail": "mario.rossi@example.it",
}
details = {
    "paymentMethod": "creditCard", "paymentChannel": "app", "fee": Decimal("1.00"), "payer": subject,
    "applicationDate": "2026-11-23", "transferDate": "2026-11-24",
}


def qr(number):
    return {"fiscalCode": school, "noticeNumber": number}


def receipt(number, token):
    return {
        "receiptId": token, "noticeNumber": number, "fiscalCode": school, "outcome": "OK", "creditorReferenceId": number[1:],
        "paymentAmount": amount, "description": "Viaggio", "companyName": "Liceo", "debtor": subject,
        "transferList": {"transfer": [{
            "idTransfer": 1, "transferAmount": amount, "fiscalCodePA": school, "IBAN": data["iban"],
            "remittanceInformation": "/RFB/" + number[1:], "transferCategory": "9/0801100AP/",
        }]},
        "idPSP": "ABI00001", "PSPCompanyName": "Banca Uno", "idChannel": "97735020584_01", "channelDescription": "app",
        "payer": subject, "fee": Decimal("1.00"), "paymentDateTime": "2026-11-23T10:00:00",
    }


gift = base64.b64decode(data["gift"])

call("verifyPaymentNotice", **psp, qrCode=qr(notices[0]))
call("verificaBollettino", **psp, ccPost=data["account"], noticeNumber=notices[0])
first = call("activatePaymentNotice", **psp, idempotencyKey="97735020584_0123456789", qrCode=qr(notices[0]), expirationTime=60000, amount=amount)
call("sendPaymentOutcome", **psp, paymentToken=first.paymentToken, outcome="OK", details=details)
second = call("activatePaymentNoticeV2", **psp, qrCode=qr(notices[1]), amount=amount, paymentMethod="CP", touchPoint="PSP")
call("sendPaymentOutcomeV2", **psp, paymentTokens={"paymentToken": [second.paymentToken]}, outcome="OK", details=details)
call("demandPaymentNotice", **psp, idSoggettoServizio=data["service"], datiSpecificiServizio=gift)

call("paVerifyPaymentNotice", **station, qrCode=qr(notices[2]))
call("paGetPayment", **station, qrCode=qr(notices[2]), amount=amount)
call("paGetPaymentV2", **station, qrCode=qr(notices[2]), transferType="POSTAL")
call("paSendRT", **station, receipt=receipt(notices[2], "zeep-1"))
call("paSendRTV2", **station, receipt=receipt(notices[3], "zeep-2"))
call("paDemandPaymentNotice", **station, idServizio="00001", idSoggettoServizio=data["service"], datiSpecificiServizioRequest=gift)

json.dump(answers, sys.stdout, default=str)

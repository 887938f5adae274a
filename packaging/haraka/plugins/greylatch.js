'use strict'
// Greylatch in Haraka. The manual, docs/haraka.md, says where this goes and why.
//
// It never refuses mail because of a fault: when Greylatch is away, slow, or answers what cannot be
// understood, mail goes on, the log says so, and nothing more is asked on this connection.

const http = require('node:http')
const https = require('node:https')

const DSN = require('haraka-dsn')

// A longer answer is none.
const ANSWER_MAX = 64 * 1024

exports.register = function () {
    this.load_greylatch_ini()
    // Behind the check that the recipient exists: about others nothing is asked.
    this.register_hook('rcpt_ok', 'ask_at_rcpt')
    this.register_hook('data', 'ask_at_data')
}

exports.load_greylatch_ini = function () {
    const main = this.config.get('greylatch.ini', () => this.load_greylatch_ini()).main
    this.cfg = {
        url: new (require('node:url').URL)('/v1/check', main.url || 'http://localhost'),
        socket: main.url ? undefined : main.socket || '/run/greylatch/http',
        token: main.token,
        timeout: 1000 * (Number(main.timeout) || 5),
    }
}

exports.ask_at_rcpt = function (next, connection, rcpt) {
    this.ask(next, connection, rcpt, 'rcpt')
}

// A verdict at DATA is for the whole message. Greylatch judges there what it has let go at RCPT by its
// option `null_sender = "data"`; all else it knows by now.
exports.ask_at_data = function (next, connection) {
    const transaction = connection.transaction
    if (!transaction?.mail_from.isNull()) return next()
    this.ask(next, connection, transaction.rcpt_to[0], 'data')
}

exports.ask = function (next, connection, rcpt, stage) {
    const transaction = connection.transaction
    // A client that has gone has left nothing to ask about.
    if (!transaction || connection.relaying || connection.notes.greylatch_away) return next()
    const attempt = this.attempt(connection, rcpt, stage)
    this.post(JSON.stringify(attempt), (error, verdict) => {
        if (error) {
            connection.notes.greylatch_away = true
            connection.logerror(this, `no answer from Greylatch, mail goes on: ${error.message}`)
            return next()
        }
        // The client may have gone meanwhile.
        if (connection.transaction !== transaction) return next()
        connection.loginfo(this, `${verdict.verdict}: ${verdict.reason}`)
        if (verdict.verdict === 'defer') return next(DENYSOFT, reply(verdict))
        if (verdict.verdict === 'refuse') return next(DENY, reply(verdict))
        if (verdict.header) {
            transaction.add_leading_header(verdict.header.name, verdict.header.value)
        }
        next()
    })
}

// What Greylatch is asked about; docs/openapi.yaml describes it.
exports.attempt = function (connection, rcpt, stage) {
    const transaction = connection.transaction
    // Only the plugin fcrdns looks whether a client's name leads back to it.
    const names = connection.results.get('fcrdns')?.fcrdns
    const attempt = {
        client: connection.remote.ip,
        name: names?.length ? names[0] : undefined,
        helo: connection.hello.host ?? undefined,
        sender: transaction.mail_from.isNull() ? '' : transaction.mail_from.address,
        recipient: rcpt.address,
        login: connection.notes.auth_user,
        tls: connection.tls.enabled ? connection.tls.cipher?.version : undefined,
        queue_id: transaction.uuid,
        instance: transaction.uuid,
        stage,
    }
    if (stage === 'data') attempt.recipient_count = transaction.rcpt_to.length
    return attempt
}

// Asks, and calls back once: with an error, or with the verdict.
exports.post = function (body, callback) {
    const { url, socket, token, timeout } = this.cfg
    let done = false
    const finish = (error, verdict) => {
        if (done) return
        done = true
        clearTimeout(timer)
        request.destroy()
        callback(error, verdict)
    }
    const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }
    if (token) headers.Authorization = `Bearer ${token}`
    const options = { method: 'POST', headers, agent: false, socketPath: socket }
    const request = (url.protocol === 'https:' ? https : http).request(url, options, (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('error', finish)
        response.on('data', (piece) => {
            text += piece
            if (text.length > ANSWER_MAX) finish(new Error('the answer is too long'))
        })
        response.on('end', () => finish(...understood(response.statusCode, text)))
    })
    const timer = setTimeout(() => finish(new Error(`nothing within ${timeout} ms`)), timeout)
    request.on('error', finish)
    request.end(body)
}

function understood(status, text) {
    let answer
    try {
        answer = JSON.parse(text)
    } catch {
        return [new Error(`status ${status}, and no JSON`)]
    }
    if (status !== 200) return [new Error(`status ${status}: ${answer?.detail}`)]
    if (typeof answer?.verdict !== 'string') return [new Error('an answer without a verdict')]
    return [null, answer]
}

// Code, enhanced status and text as Greylatch gives them.
function reply({ code, status, text }) {
    const [, subject, detail] = status.split('.').map(Number)
    return DSN.create(code, text, subject, detail)
}

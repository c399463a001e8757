package main

import "time"

// The listener's own calls. They are assumed, from agent-protocol.md 7.2 to 7.5, and were
// not measured with Microsoft's listener. Each agent makes them with its own identity, and
// each job with the job's: none counts for azptend's identity.
const (
	longPoll  = 50 * time.Second // then 5 to 15 s of pause
	pauseFrom = 5 * time.Second
	pauseTo   = 15 * time.Second
	keepAlive = 80 * time.Second // the second loop: 30 s after the end of each of its polls
	renewal   = time.Minute
	feedEvery = 10 * time.Second // for a job that writes lines all the time: a guess
	jobSteps  = 5                // steps of a job: a guess
	stepLogs  = 2                // POST logs, then its content
	stepMarks = 2                // a step's record when it begins and ends
)

// polling is where a listener is in its loop: it waits for a message, or pauses after an
// empty answer.
type polling struct {
	since time.Duration // when its last poll began
	pause time.Duration // the pause after that poll
	polls int
}

// delay returns after how long the listener receives a message that is available now.
func (p *polling) delay(now time.Duration, draw func(from, to time.Duration) time.Duration) time.Duration {
	p.advance(now, draw)
	if now < p.since+longPoll {
		return 0
	}
	return p.since + longPoll + p.pause - now
}

// advance computes the loop's state at now.
func (p *polling) advance(now time.Duration, draw func(from, to time.Duration) time.Duration) {
	if p.polls == 0 {
		p.polls, p.pause = 1, draw(pauseFrom, pauseTo)
	}
	for now >= p.since+longPoll+p.pause {
		p.since += longPoll + p.pause
		p.polls, p.pause = p.polls+1, draw(pauseFrom, pauseTo)
	}
}

// addListenerRun adds the calls of a listener for its session and its polls.
func addListenerRun(t tally, polls int, online time.Duration) {
	t[postToken]++
	t[postSession]++
	t[endSession]++
	t[getMessages] += polls + int(online/keepAlive)
}

// addListenerJob adds the calls of listener and worker for a job.
func addListenerJob(t tally, took time.Duration) {
	t[getMessages]++ // the listener polls again after the job message
	t[endMessage]++
	t[renewJob] += 1 + int(took/renewal)
	t[reportRecord] += 2 + jobSteps*stepMarks
	t[reportLog] += jobSteps * stepLogs
	t[reportFeed] += 1 + int(took/feedEvery)
	t[reportEnd]++
}

// Package credentials bounds the retrieval of AWS credentials and says when they cannot be had.
//
// A [Source] stands before a provider of the SDK's, one for the worker itself and one for each role.
// It keeps what it got, and asks again in good time before that expires, at the next use; until
// then what it has is used, whether asking succeeds or not. One retrieval is under way at a time, and
// each has a time limit, so that one that is never answered is asked again. After a failure the
// next one waits for a full-jitter backoff, and whoever asks meanwhile gets an [Error] at once:
// nothing was sent. Sources share nothing: what one cannot get stops no other.
//
// It does not know what credentials are for, and has no goroutine and no timer but those of a
// retrieval.
package credentials

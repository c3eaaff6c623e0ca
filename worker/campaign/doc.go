// Package campaign is the plan file: an exact list of commands, made once, reviewed, and sent as it is. It owns the
// file's form, its digest, its limits, the ids of its commands, and the journal of what was sent. It knows no queue
// and no AWS service.
//
// A plan file is JSON lines: a [Header], then one [Command] a line. The header says who made it, of what, how many
// lines there are, which limits hold, and a digest over itself and the lines. [Create] streams the lines to FILE.part, and
// [Writer.Finish] puts the header before them and gives the file its name, so that no half file ever has it. [Open]
// reads all of a file, and refuses it, before it gives anybody a line to send.
//
// The digest finds edits and damage. It is no signature: who can write the file can write another digest too.
//
// A command's id is made of its campaign and target. So the same plan sent twice is run once, which is what makes it
// safe to go on after a crash: what the [Journal] does not show as sent is sent again.
package campaign

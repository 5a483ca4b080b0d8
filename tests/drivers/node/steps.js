// SPDX-License-Identifier: ISC
// A suite's steps: each is run in turn and prints one line of JSON. An error that is not a step's result ends the suite with status 1.
'use strict'

const steps = []

exports.step = (group, name, work) => steps.push({ group, name, work })
exports.schema = process.env.SUITE_SCHEMA
exports.scaled = (n, least = 1) => Math.max(least, Math.floor(n * Number(process.env.SUITE_SCALE)))

const plain = (key, value) => (typeof value === 'bigint' ? `${value}n` : value)

// What a client is told by an error that has to come.
exports.fault = async (promise) => {
	try {
		await promise
	} catch (error) {
		const told = {}
		for (const field of ['severity', 'code', 'message', 'detail', 'hint', 'position', 'where', 'table', 'table_name', 'column', 'constraint', 'constraint_name'])
			if (error[field] !== undefined) told[field] = error[field]
		return told
	}
	throw new Error('no error came')
}

exports.run = async () => {
	for (const { group, name, work } of steps) {
		if (group !== process.argv[2]) continue
		try {
			const result = await work()
			console.log(JSON.stringify({ step: name, result }, plain))
		} catch (error) {
			console.error(name, error)
			process.exit(1)
		}
	}
	process.exit(0)
}

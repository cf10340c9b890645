/** Runs the laptop's commands as main.ts does. */
import { Command } from 'commander';
import { addLaptopCommands } from '../../../src/cli/cli.ts';

const program = new Command('portcullis');
addLaptopCommands(program);
await program.parseAsync();

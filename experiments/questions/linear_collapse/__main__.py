from experiments.linear_collapse import main

main()

from experiments.parameter_counts import main

main()
